import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { bundleForGuest, type GuestBundle } from "../support/guest-bundle.ts";
import type { GuestCase, GuestOutcome } from "../support/guest-case.ts";
import { guestLack, startGuest } from "../support/guest-kernel.ts";
import { peerFlowsPath } from "../support/peer-flows.ts";
import { guestCases } from "./cases.ts";

const lack = guestLack("ip", "ipvsadm", "ipset");
const support = join(import.meta.dirname, "..", "support");
/** Of one guest, its cases together; without hardware help a kernel is slow, on a busy machine more so. */
const timeoutSeconds = 2400;

interface Waiting {
  readonly outcome: Promise<GuestOutcome>;
  readonly tell: (outcome: GuestOutcome) => void;
}
const outcomes = new Map<string, Waiting>(
  guestCases.flat().map((c) => {
    const { promise, resolve } = Promise.withResolvers<GuestOutcome>();
    return [c.name, { outcome: promise, tell: resolve }];
  }),
);
let told = 0;
let guests: readonly ReturnType<typeof startGuest>[] = [];
let bundle: GuestBundle | undefined;

const env = (name: string, value: string): string => `export ${name}=${JSON.stringify(value)}\n`;

function start({ command }: GuestBundle, cases: readonly GuestCase[], index: number): ReturnType<typeof startGuest> {
  const some = env("FAIRWAY_GUEST_CASES", process.env["FAIRWAY_GUEST_CASES"] ?? "");
  const flows = env("FAIRWAY_PEER_FLOWS", peerFlowsPath);
  const guest = startGuest({
    script: `${some}${flows}${env("FAIRWAY_GUEST", String(index))}exec ${command("guest")}\n`,
    timeoutSeconds,
    line: (text) => {
      const outcome = JSON.parse(text) as GuestOutcome;
      outcomes.get(outcome.name)?.tell(outcome);
      // the reporter speaks at the end of the file only, and that is minutes away
      const verdict = outcome.failure === undefined ? "ok" : "FAILED";
      process.stderr.write(`   guest ${++told}/${outcomes.size} ${verdict} ${outcome.name} (${outcome.ms} ms)\n`);
    },
  });
  const untold = (why: string): void => {
    for (const { name } of cases) outcomes.get(name)?.tell({ name, ms: 0, failure: why });
  };
  guest.done.then(
    ({ status, stderr, console }) => untold(`the guest ended (status ${status ?? "unknown"}) before this case did:\n${stderr}\n${console}`),
    (error: unknown) => untold(String(error)),
  );
  return guest;
}

beforeAll(async () => {
  if (lack !== undefined) return;
  const made = await bundleForGuest({
    guest: join(import.meta.dirname, "guest.program.ts"),
    "probe-agent.worker": join(support, "probe-agent.worker.ts"),
    "rules-churn.program": join(support, "rules-churn.program.ts"),
  });
  bundle = made;
  guests = guestCases.map((cases, index) => start(made, cases, index));
});
afterAll(async () => {
  for (const guest of guests) await guest.close();
  bundle?.remove();
});
beforeEach((t) => t.skip(lack !== undefined, lack));

for (const { name } of guestCases.flat()) {
  test(name, async () => {
    const outcome = await outcomes.get(name)?.outcome;
    expect(outcome?.failure ?? "passed").toBe("passed");
  });
}

test("the guests end by themselves, with every case told once", async () => {
  expect(told).toBe(guestCases.flat().length);
  expect(outcomes.size).toBe(told);
  for (const { done } of guests) expect(await done).toMatchObject({ status: 0, stderr: "" });
});
