import { expect, test } from "vitest";
import { ProxyPlan } from "../../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../../rules/plan/service-plan.ts";
import type { NodeEvent } from "../../../rules/sync/config.ts";
import { type ConnectionTable, type ConnectionUse, printConnectionUse, startConnectionWatch } from "../../../rules/sync/connection-use.ts";
import type { TrackedConnection } from "../../../src/kernel/conntrack.ts";
import { NetlinkFault } from "../../../src/kernel/netlink.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { fillStore, makeNode, makeService, makeSlice } from "../../support/rules-objects.ts";

const [tcp, udp, icmp] = [6, 17, 1];
const to = (ip: string, toPort: number, protocol = tcp): TrackedConnection => ({ protocol, to: ip, toPort });
const times = <T>(n: number, value: T): readonly T[] => Array<T>(n).fill(value);

class ListedConnections implements ConnectionTable {
  entries = 10;
  list: readonly TrackedConnection[] = [];
  counts = 0;
  fault = false;
  /** How long each part takes. */
  partMs = 0;
  spentMs = 0;
  size = () => ({ entries: this.entries, limit: 100 });
  *connections() {
    if (this.fault) throw new NetlinkFault("dump", 1);
    this.counts++;
    for (const connection of this.list) {
      this.spentMs += this.partMs;
      yield [connection];
    }
  }
  close = (): void => undefined;
}

function watch() {
  const clock = new FakeClock();
  const table = new ListedConnections();
  const events: NodeEvent[] = [];
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  fillStore(store, [
    makeNode("n", ["192.0.2.1"], []),
    makeService("web", { clusterIP: "10.96.0.1", type: "NodePort", ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080 }] }),
    makeService("dns", { clusterIP: "10.96.0.2", clusterIPs: ["10.96.0.2", "fd96::2"], ports: [{ port: 53, protocol: "UDP" }] }),
    ...Array.from({ length: 30 }, (_, i) => makeService(`s${i + 10}`, { clusterIP: `10.96.1.${i}` })),
    makeSlice("web", ["10.244.0.1"], { ports: [{ name: "http", port: 80, protocol: "TCP" }] }),
  ]);
  const plan = new ProxyPlan("n", defaultPlanOptions);
  const batch = cursor.take();
  if (batch !== undefined) plan.apply(batch);
  const watching = startConnectionWatch({
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic() + table.spentMs,
      sleep: (ms, signal) => clock.sleep(ms, signal),
    },
    table,
    nodeName: "n",
    frontend: (key) => plan.frontends.get(key),
    isNodePortIp: (ip) => ip === "192.0.2.1",
    onEvent: (event) => events.push(event),
  });
  const pass = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 5000) {
      await clock.advance(5000);
      for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { table, events, watching, pass };
}

test("connections are counted by what they were made to: cluster IPs, node ports, nothing of ours", async () => {
  const { table, watching, pass } = watch();
  table.list = [
    ...times(3, to("10.96.0.1", 80)),
    ...times(2, to("192.0.2.1", 30080)),
    ...times(4, to("fd96::2", 53, udp)),
    to("10.96.0.2", 53, tcp), // UDP's port
    to("192.0.2.9", 30080), // another machine
    to("10.96.0.1", 0, icmp),
  ];
  expect(watching.use()).toBeUndefined();
  await pass(5000);
  const use: ConnectionUse = {
    entries: 10,
    limit: 100,
    services: [
      { service: "test/web:http", connections: 5 },
      { service: "test/dns", connections: 4 },
    ],
    moreServices: 0,
    elsewhere: 3,
  };
  expect(watching.use()).toEqual(use);
  expect(printConnectionUse(use)).toContain('fairway_service_connections{service="test/web:http"} 5\n');
  await watching.close();
});

test("only the Services with the most are named", async () => {
  const { table, watching, pass } = watch();
  table.list = Array.from({ length: 30 }, (_, i) => times(30 - i, to(`10.96.1.${i}`, 80))).flat();
  await pass(5000);
  const use = watching.use();
  expect(use?.services.length).toBe(20);
  expect(use?.services.at(-1)).toEqual({ service: "test/s29", connections: 11 });
  expect(use?.moreServices).toBe(55);
  await watching.close();
});

test("the longer a count takes, the longer until the next", async () => {
  const { table, watching, pass } = watch();
  await pass(60_000);
  expect(table.counts).toBe(2);
  table.partMs = 10;
  table.list = times(60, to("10.96.0.1", 80));
  await pass(30_000);
  expect(table.counts).toBe(3);
  // 0.6 s, and two hundred times as long until the next
  await pass(90_000);
  expect(table.counts).toBe(3);
  await pass(10_000);
  expect(table.counts).toBe(4);
  await watching.close();
});

test("before the table is full it is told by whom, as long as that lasts, and when it ends", async () => {
  const { table, watching, events, pass } = watch();
  await pass(5000);
  table.list = times(7, to("10.96.0.1", 80));
  table.entries = 89;
  await pass(5000);
  expect(watching.problems()).toEqual([]);
  table.entries = 91;
  await pass(5000);
  const message =
    "connection tracking held 91 of 100 entries; most are of test/web:http (7): once it is full, new connections are dropped. Raise net.netfilter.nf_conntrack_max, or lower its time limits";
  const alarm = { object: { kind: "Node", name: "n" }, field: "", reason: "ConntrackNearlyFull", message };
  expect(watching.problems()).toEqual([alarm]);
  table.entries = 97;
  await pass(5000);
  // the same one, so that it is told once
  expect(watching.problems()).toEqual([alarm]);
  table.entries = 80;
  await pass(5000);
  expect(watching.problems()).toEqual([alarm]);
  expect(events).toEqual([]);
  table.entries = 79;
  await pass(5000);
  expect(watching.problems()).toEqual([]);
  expect(events).toEqual([
    { type: "Normal", reason: "ConntrackRelieved", message: "connection tracking has room again: 79 of 100 entries" },
  ]);
  await watching.close();
});

test("a table that cannot be read is counted at the next look, and its size tells all the same", async () => {
  const { table, watching, pass } = watch();
  table.fault = true;
  table.entries = 95;
  await pass(5000);
  expect(watching.use()).toBeUndefined();
  expect(watching.problems()).toMatchObject([{ message: expect.stringContaining("held 95 of 100 entries: once") as string }]);
  table.fault = false;
  await pass(5000);
  expect(watching.use()).toMatchObject({ elsewhere: 0 });
  await watching.close();
});
