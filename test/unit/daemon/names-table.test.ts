import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Answerer, DnsZone } from "../../../dns/index.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { encodeFrame, readFrames } from "../../../src/daemon/frames.ts";
import { keyedNames, recordDelta, zoneEntries } from "../../../src/daemon/names-table.ts";
import { startStatePublisher } from "../../../src/daemon/state-publisher.ts";
import type { FromAgent, KeyedDelta } from "../../../src/daemon/state-stream.ts";
import { startStateSubscriber } from "../../../src/daemon/state-subscriber.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";

test("one endpoint less of many reaches the DNS process as an edit, and leaves what a full state has", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fairway-names-"));
  const path = join(folder, "agent.sock");
  const store = new SnapshotStore();
  const cursor = store.cursor(() => {});
  const zone = new DnsZone();
  const deltaOf = (endpoints: number) => {
    const metadata = { namespace: "a", name: "big-1", labels: { "kubernetes.io/service-name": "big" } };
    const addresses = Array.from({ length: endpoints }, (_, i) => ({ addresses: [`10.0.${i >> 8}.${i & 255}`] }));
    const ports = [{ name: "x", port: 8080, protocol: "TCP" }];
    store.apply("EndpointSlice", "a/big-1", { metadata, addressType: "IPv4", endpoints: addresses, ports }, "");
    const batch = cursor.take();
    if (batch === undefined) throw new Error("no change");
    return keyedNames(zone.apply(batch).delta);
  };
  store.apply("Service", "a/big", { metadata: { namespace: "a", name: "big" }, spec: { clusterIP: "None" } }, "");
  deltaOf(300);
  const publisher = startStatePublisher(path, [{ name: "dns", tag: () => zone.revision, full: () => zoneEntries(zone) }], {
    log: silentLog,
    clock: systemClock,
  });
  await publisher.ready;
  publisher.markSynced();
  const answerer = new Answerer();
  const told = Promise.withResolvers<number>();
  const state = startStateSubscriber(path, "dns", {
    take: (delta) => {
      answerer.apply(recordDelta(delta));
      if (delta.edits !== undefined) told.resolve(JSON.stringify(delta).length);
      return undefined;
    },
    synced: () => undefined,
    metrics: () => "",
    log: silentLog,
  });
  await state.ready;
  const before = answerer.size;
  // one of before an upgrade, that says no version of the stream
  const old = connect(path);
  const oldDeltas: KeyedDelta[] = [];
  const oldSynced = Promise.withResolvers<void>();
  const oldTold = Promise.withResolvers<void>();
  old.write(encodeFrame({ type: "hello", table: "dns", pid: 1 }));
  readFrames(old, (message) => {
    const m = message as FromAgent;
    if (m.type === "synced") oldSynced.resolve();
    if (m.type !== "delta") return;
    oldDeltas.push(m.delta);
    if (m.delta.deletes.length > 0) oldTold.resolve();
  });
  await oldSynced.promise;

  publisher.publish("dns", deltaOf(299));
  // the names of one endpoint, not those of three hundred
  expect(await told.promise).toBeLessThan(2000);
  expect([before - answerer.size, answerer.revision]).toEqual([1, zone.revision]);
  const built = new Answerer();
  built.apply(zone.full());
  await oldTold.promise;
  const outdated = new Answerer();
  for (const { edits, ...delta } of oldDeltas) {
    expect(edits).toBeUndefined();
    outdated.apply(recordDelta(delta));
  }
  const query = Buffer.from(
    "\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03big\x01a\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01",
    "latin1",
  );
  const answers = [answerer, built, outdated].map((a) => {
    const out = new Uint8Array(0xffff);
    return out.slice(0, a.answer(query, query.length, "10.0.0.1", out, "tcp"));
  });
  expect(answers[0]).toEqual(answers[1]);
  expect(answers[2]).toEqual(answers[1]);
  expect(answers[0]?.[7]).toBe(299 & 255);

  old.destroy();
  await state.close();
  await publisher.close();
  rmSync(folder, { recursive: true });
});
