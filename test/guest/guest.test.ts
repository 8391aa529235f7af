import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { bundleForGuest, type GuestBundle } from "../support/guest-bundle.ts";
import type { GuestOutcome } from "../support/guest-case.ts";
import { guestLack, startGuest } from "../support/guest-kernel.ts";
import { guestCases } from "./cases.ts";

const lack = guestLack("ip", "ipvsadm", "ipset");
const probeAgent = join(import.meta.dirname, "..", "support", "probe-agent.program.ts");
/** Of one start, all cases together; without hardware help a kernel is slow, on a busy machine more so. */
const timeoutSeconds = 1200;

interface Waiting {
  readonly outcome: Promise<GuestOutcome>;
  readonly tell: (outcome: GuestOutcome) => void;
}
const outcomes = new Map<string, Waiting>(
  guestCases.map((c) => {
    const { promise, resolve } = Promise.withResolvers<GuestOutcome>();
    return [c.name, { outcome: promise, tell: resolve }];
  }),
);
let told = 0;
let guest: ReturnType<typeof startGuest> | undefined;
let bundle: GuestBundle | undefined;

beforeAll(async () => {
  if (lack !== undefined) return;
  bundle = await bundleForGuest({ guest: join(import.meta.dirname, "guest.program.ts"), "probe-agent.program": probeAgent });
  const some = process.env["FAIRWAY_GUEST_CASES"] ?? "";
  const script = `export FAIRWAY_GUEST_CASES=${JSON.stringify(some)}\nexec ${bundle.command("guest")}\n`;
  guest = startGuest({
    script,
    timeoutSeconds,
    line: (text) => {
      const outcome = JSON.parse(text) as GuestOutcome;
      outcomes.get(outcome.name)?.tell(outcome);
      // the reporter speaks at the end of the file only, and that is minutes away
      const verdict = outcome.failure === undefined ? "ok" : "FAILED";
      process.stderr.write(`   guest ${++told}/${guestCases.length} ${verdict} ${outcome.name} (${outcome.ms} ms)\n`);
    },
  });
  const untold = (why: string): void => {
    for (const [name, { tell }] of outcomes) tell({ name, ms: 0, failure: why });
  };
  guest.done.then(
    ({ status, stderr, console }) => untold(`the guest ended (status ${status ?? "unknown"}) before this case did:\n${stderr}\n${console}`),
    (error: unknown) => untold(String(error)),
  );
});
afterAll(async () => {
  await guest?.close();
  bundle?.remove();
});
beforeEach((t) => t.skip(lack !== undefined, lack));

for (const { name } of guestCases) {
  test(name, async () => {
    const outcome = await outcomes.get(name)?.outcome;
    expect(outcome?.failure ?? "passed").toBe("passed");
  });
}

test("the guest ends by itself, with every case told once", async () => {
  expect(new Set(guestCases.map((c) => c.name)).size).toBe(guestCases.length);
  expect(await guest?.done).toMatchObject({ status: 0, stderr: "" });
});
