import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeFrame } from "../../../src/daemon/frames.ts";
import { ingressDelta, ingressEntries } from "../../../src/daemon/ingress-table.ts";
import { startStatePublisher } from "../../../src/daemon/state-publisher.ts";
import type { KeyedDelta } from "../../../src/daemon/state-stream.ts";
import { startStateSubscriber } from "../../../src/daemon/state-subscriber.ts";
import { SwitchRounds, switchWithinMs } from "../../../src/daemon/switch-rounds.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { get, makeRoute, makeTable, RawClient, startLab } from "../ingress/proxy-lab.ts";

/** What the rounds tell the processes `a`, `b`, `c`, in order: `a<3` it is sent revision 3, `a!` it is told to switch. */
function rounds(...members: readonly string[]) {
  const told: string[] = [];
  const clock = new FakeClock();
  const switching = new SwitchRounds<string>({
    clock,
    send: (to, delta) =>
      told.push(
        ...to.map((c) => `${c}<${delta.revision}:${[...delta.upserts.map(([k, v]) => `${k}=${v}`), ...delta.deletes.map((k) => `-${k}`)]}`),
      ),
    tellSwitch: (c) => told.push(`${c}!`),
    onLate: (c) => told.push(`${c} late`),
  });
  for (const c of members) {
    switching.add(c);
    switching.prepared(c, 0);
  }
  told.length = 0;
  return { switching, clock, told: (): readonly string[] => told.splice(0) };
}

const change = (revision: number, key: string, value?: number): KeyedDelta => ({
  revision,
  upserts: value === undefined ? [] : [[key, value]],
  deletes: value === undefined ? [key] : [],
});

test("nobody switches before all have prepared, then all do; what changed meanwhile is the next round's one change", () => {
  const { switching, told } = rounds("a", "b", "c");
  switching.change(change(1, "x", 1));
  expect(told()).toEqual(["a<1:x=1", "b<1:x=1", "c<1:x=1"]);
  switching.prepared("a", 1);
  switching.prepared("c", 1);
  switching.change(change(2, "x", 2));
  switching.change(change(3, "y", 3));
  switching.change(change(4, "x"));
  expect(told()).toEqual([]);
  switching.prepared("b", 1);
  expect(told()).toEqual(["a!", "b!", "c!", "a<4:y=3,-x", "b<4:y=3,-x", "c<4:y=3,-x"]);
});

test("one that is alone is told at once", () => {
  const { switching, told } = rounds("a");
  switching.change(change(1, "x", 1));
  expect(told()).toEqual(["a<1:x=1", "a!"]);
  switching.prepared("a", 1);
  expect(told()).toEqual([]);
});

test("one that hangs holds up the others once, and not beyond the bound; it is waited for again when it has caught up", async () => {
  const { switching, clock, told } = rounds("a", "b");
  switching.change(change(1, "x", 1));
  switching.prepared("a", 1);
  await clock.advance(switchWithinMs - 1);
  expect(told()).toEqual(["a<1:x=1", "b<1:x=1"]);
  await clock.advance(1);
  expect(told()).toEqual(["b late", "a!", "b!"]);
  switching.change(change(2, "x", 2));
  switching.prepared("a", 2);
  expect(told()).toEqual(["a<2:x=2", "b<2:x=2", "a!", "b!"]);
  switching.prepared("b", 1);
  switching.prepared("b", 2);
  switching.change(change(3, "x", 3));
  switching.prepared("a", 3);
  expect(told()).toEqual(["a<3:x=3", "b<3:x=3"]);
  switching.prepared("b", 3);
  expect(told()).toEqual(["a!", "b!"]);
  expect(clock.sleeping).toEqual([]);
});

test("one that ends is waited for no longer", () => {
  const { switching, told } = rounds("a", "b");
  switching.change(change(1, "x", 1));
  switching.prepared("a", 1);
  switching.remove("b");
  expect(told()).toEqual(["a<1:x=1", "b<1:x=1", "a!"]);
});

test("one that was given the full state meanwhile switches with the others; those that a new agent finds, together", () => {
  const { switching, told } = rounds("a", "b");
  switching.change(change(1, "x", 1));
  switching.add("c");
  switching.prepared("c", 1);
  switching.prepared("a", 1);
  expect(told()).toEqual(["a<1:x=1", "b<1:x=1"]);
  switching.prepared("b", 1);
  expect(told()).toEqual(["a!", "b!", "c!"]);

  const found = rounds();
  found.switching.expect(["a", "b"], 0);
  found.switching.add("a");
  found.switching.prepared("a", 0);
  expect(found.told()).toEqual([]);
  found.switching.add("b");
  found.switching.prepared("b", 0);
  expect(found.told()).toEqual(["a!", "b!"]);
});

test("a round that is closed leaves nothing behind", () => {
  const { switching, clock } = rounds("a", "b");
  switching.change(change(1, "x", 1));
  switching.close();
  expect(clock.sleeping).toEqual([]);
});

test("real ingress processes: none answers by the next table before all could, none by the old one after it is settled, and one that hangs holds up nobody", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fairway-rounds-"));
  const path = join(folder, "agent.sock");
  const clock = new FakeClock();
  const answering = (status: number) =>
    ingressEntries(makeTable([], [makeRoute({ action: { kind: "respond", status, why: "a test" } })])).upserts;
  let status = 200;
  const publisher = startStatePublisher(path, [{ name: "t", together: true, full: () => answering(status) }], { log: silentLog, clock });
  await publisher.ready;
  publisher.markSynced();
  const labs = await Promise.all([1, 2, 3].map(() => startLab([])));
  const states = labs.map(({ ingress }) =>
    startStateSubscriber(path, "t", {
      take: (delta) => ingress.prepare(ingressDelta(delta)),
      synced: () => undefined,
      metrics: () => "",
      log: silentLog,
    }),
  );
  await Promise.all(states.map((s) => s.ready));
  const clients = labs.map(({ http }) => RawClient.connect(http));
  const answers = (): Promise<readonly string[]> =>
    Promise.all(
      clients.map(async (client) => {
        client.text = "";
        return (await client.send(get()).until((t) => t.includes("\r\n\r\n"))).slice(9, 12);
      }),
    );
  const settled = async (): Promise<void> => {
    while (!publisher.settled()) await new Promise((r) => setImmediate(r));
  };
  for (let n = 0; n < 30; n++) {
    status = 400 + n;
    publisher.publish("t", { upserts: answering(status), deletes: [] });
    await settled();
    expect(await answers()).toEqual([`${status}`, `${status}`, `${status}`]);
  }

  // it has joined, and says nothing any more
  const hung = createConnection(path);
  hung.write(encodeFrame({ type: "hello", table: "t", pid: 1 }));
  await new Promise((resolve) => hung.once("data", resolve));
  hung.pause();
  status = 500;
  publisher.publish("t", { upserts: answering(status), deletes: [] });
  while (clock.sleeping.length === 0) await new Promise((r) => setImmediate(r));
  expect(await answers()).toEqual(["429", "429", "429"]);
  await clock.advance(switchWithinMs);
  while ((await answers()).some((a) => a !== "500")) await new Promise((r) => setImmediate(r));
  expect(publisher.settled()).toBe(false);
  hung.destroy();
  await settled();

  for (const client of clients) client.socket.destroy();
  await Promise.all([...states.map((s) => s.close()), ...labs.map(({ ingress }) => ingress.close())]);
  await publisher.close();
  rmSync(folder, { recursive: true });
});
