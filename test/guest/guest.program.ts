// Runs in the guest kernel whose number is FAIRWAY_GUEST: every case of it in turn, a line of JSON for each.
import type { GuestOutcome } from "../support/guest-case.ts";
import { guestCases } from "./cases.ts";
import { closeSharedLab } from "./lab.ts";

const secondsEach = 600;

for (const { name, run } of guestCases[Number(process.env["FAIRWAY_GUEST"])] ?? []) {
  const started = Date.now();
  let failure: string | undefined;
  try {
    await run(AbortSignal.timeout(secondsEach * 1000));
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  const outcome: GuestOutcome = { name, ms: Date.now() - started, ...(failure === undefined ? {} : { failure }) };
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
await closeSharedLab();
