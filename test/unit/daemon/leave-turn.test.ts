import { expect, test } from "vitest";
import type { Running } from "../../../src/base/running.ts";
import type { Transport } from "../../../src/client/transport.ts";
import { startLeaveTurn } from "../../../src/daemon/leave-turn.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi } from "../../support/memory-api.ts";

/** The Lease is read and written between two steps of the clock. */
async function passed(clock: FakeClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 250) {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(250);
  }
}

const nodes = (transport: Transport, clock: FakeClock) => {
  const left: string[] = [];
  const start = (identity: string): Running => {
    const turn = startLeaveTurn({ transport, identity }, { clock, log: silentLog });
    void turn.ready.then(() => left.push(identity));
    return turn;
  };
  return { left, start };
};

test("nodes that end together leave one after the other, and none waits for one that is gone", async () => {
  const clock = new FakeClock();
  const { left, start } = nodes(new MemoryApi(), clock);
  const first = start("a");
  await passed(clock, 500);
  const [second, third] = [start("b"), start("c")];
  await passed(clock, 4000);
  expect(left).toEqual(["a"]);
  await first.close();
  await passed(clock, 1500);
  expect(left).toHaveLength(2);
  await passed(clock, 3000);
  expect(left).toHaveLength(2);
  await Promise.all([second.close(), third.close()]);
});

test("without the API nobody is kept from leaving", async () => {
  const clock = new FakeClock();
  const { left, start } = nodes({ request: () => Promise.reject(new Error("refused")) } as unknown as Transport, clock);
  const turn = start("a");
  await passed(clock, 250);
  expect(left).toEqual(["a"]);
  await turn.close();
});
