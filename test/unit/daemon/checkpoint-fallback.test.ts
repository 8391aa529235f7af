import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readCheckpoint, writeCheckpoint } from "../../../src/daemon/checkpoint.ts";
import { startCheckpointFallback } from "../../../src/daemon/checkpoint-fallback.ts";
import type { Log } from "../../../src/observe/log.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-fallback-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function fallbackOf(name: string, kept: readonly string[], clock = new FakeClock()) {
  const path = join(folder, name);
  if (kept.length > 0) {
    const before = new SnapshotStore();
    before.replace("Service", kept.map(service));
    await writeCheckpoint(path, before, ["Service"]);
  }
  const store = new SnapshotStore();
  const said: string[] = [];
  const log: Log = Object.assign((level: string, message: string) => void said.push(`${level} ${message}`), { child: () => log });
  const fallback = startCheckpointFallback(path, store, ["Service"], { clock, log });
  return { path, store, clock, said, fallback, services: () => [...store.current.tables.Service.keys()] };
}

const service = (name: string) => ({ metadata: { namespace: "default", name } });
const warning = ["warn the API does not answer; serving what was known when this node last ran"];

test("an API that is silent for three seconds: what was known is served", async () => {
  const { clock, said, fallback, services } = await fallbackOf("silent", ["kept"]);
  await clock.advance(2900);
  expect(services()).toEqual([]);
  await clock.advance(200);
  expect([services(), said]).toEqual([["default/kept"], warning]);
  await fallback.close();
});

test("an API whose lists take long is waited for, as long as it gives signs of life", async () => {
  const { store, clock, said, fallback, services } = await fallbackOf("slow", ["kept"]);
  for (let n = 0; n < 20; n++) {
    await clock.advance(2500);
    fallback.heard();
  }
  expect(services()).toEqual([]);
  store.replace("Service", [service("listed")]);
  await clock.advance(20_000);
  expect([services(), said]).toEqual([["default/listed"], []]);
  await fallback.close();
});

test("an API that falls silent in the middle of its lists is not waited for", async () => {
  const { clock, fallback, services } = await fallbackOf("stalled", ["kept"]);
  await clock.advance(2500);
  fallback.heard();
  await clock.advance(3500);
  expect(services()).toEqual(["default/kept"]);
  await fallback.close();
});

test("an API that cannot be reached: at once, and once", async () => {
  const { store, clock, said, fallback, services } = await fallbackOf("away", ["kept"]);
  fallback.failed();
  expect(services()).toEqual(["default/kept"]);
  store.apply("Service", "default/kept", undefined, "7");
  fallback.failed();
  await clock.advance(10_000);
  expect([services(), said]).toEqual([[], warning]);
  await fallback.close();
});

test("what is known is written every half minute and at the end, never before the first lists", async () => {
  const { path, store, clock, fallback } = await fallbackOf("written", []);
  await clock.advance(40_000);
  expect(existsSync(path)).toBe(false);
  store.replace("Service", [service("a")]);
  await clock.advance(31_000);
  await expect.poll(() => keysIn(path)).toEqual(["default/a"]);
  store.apply("Service", "default/b", service("b"), "9");
  await fallback.close();
  expect(keysIn(path)).toEqual(["default/a", "default/b"]);
});

/** Each look at it takes so long: so does what is done between two looks. */
class SlowClock extends FakeClock {
  #looks = 0;
  override monotonic(): number {
    return super.monotonic() + 100 * this.#looks++;
  }
}

test("a write that takes a tenth of a second is followed by a rest of a hundred", async () => {
  const { path, store, clock, fallback } = await fallbackOf("large", [], new SlowClock());
  store.replace("Service", [service("a")]);
  // a look, half a minute, and the clock rests while it is written
  await clock.advance(30_250);
  await expect.poll(() => keysIn(path)).toEqual(["default/a"]);
  store.apply("Service", "default/b", service("b"), "9");
  await clock.advance(98_000);
  expect(keysIn(path)).toEqual(["default/a"]);
  await clock.advance(3000);
  await expect.poll(() => keysIn(path)).toEqual(["default/a", "default/b"]);
  await fallback.close();
});

function keysIn(path: string): readonly string[] {
  const store = new SnapshotStore();
  readCheckpoint(path, store, ["Service"]);
  return [...store.current.tables.Service.keys()];
}
