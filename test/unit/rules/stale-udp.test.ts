import { expect, test } from "vitest";
import { ProxyPlan } from "../../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../../rules/plan/service-plan.ts";
import { type FlowTable, StaleUdp } from "../../../rules/sync/stale-udp.ts";
import type { FlowPart, UdpFlow } from "../../../src/kernel/conntrack.ts";
import { NetlinkFault } from "../../../src/kernel/netlink.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice, put, type SliceEndpoint } from "../../support/rules-objects.ts";

type Endpoints = readonly (string | SliceEndpoint)[];
const ports = { ports: [{ name: "", protocol: "UDP", port: 53 }] };
const [first, second, third] = ["10.244.0.1", "10.244.0.2", "10.244.0.3"];
const leaving = { ip: second, terminating: true };
const v6 = ["fd44::1", "fd44::2"];

/** One flow of a client to each address; remembers what it was asked. */
class ListedFlows implements FlowTable {
  readonly asked: string[] = [];
  fault = false;
  readonly flows: UdpFlow[] = [first, second, third].map((answers) => ({
    family: 4,
    to: "10.96.0.1",
    toPort: 53,
    answers,
    answersPort: 53,
    name: [],
  }));
  udpFlows(family: 4 | 6, part?: FlowPart): readonly UdpFlow[] {
    if (this.fault) throw new NetlinkFault("dump", 1);
    this.asked.push(`IPv${family} ${part === undefined ? "all" : `${part.end} ${part.ip}`}`);
    return this.flows.filter((f) => f.family === family && (part === undefined || f[part.end] === part.ip));
  }
  delete(flows: readonly UdpFlow[]): number {
    for (const flow of flows) this.flows.splice(this.flows.indexOf(flow), 1);
    return flows.length;
  }
  close(): void {
    this.asked.push("closed");
  }
}

function world(before: Endpoints, protocol: string, nodePort = 0) {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  const plan = new ProxyPlan("n", defaultPlanOptions);
  const flows = new ListedFlows();
  const udp = new StaleUdp(flows);
  const sync = (): number => {
    const batch = cursor.take();
    if (batch !== undefined) udp.notice(plan.apply(batch));
    return udp.end(
      (key) => plan.frontends.get(key),
      () => nodePort > 0,
    );
  };
  const type = nodePort === 0 ? "ClusterIP" : "NodePort";
  const spec = { clusterIP: "10.96.0.1", clusterIPs: ["10.96.0.1", "fd96::1"], type, ports: [{ port: 53, protocol, nodePort }] };
  fillStore(store, [
    makeNode("n", ["192.0.2.1"], []),
    makeService("web", spec),
    ...(before.length === 0 ? [] : [makeSlice("web", before, ports)]),
  ]);
  sync();
  flows.asked.length = 0;
  return { store, flows, sync, udp };
}

test.each<[name: string, before: Endpoints, after: Endpoints, asked: readonly string[], ended: number, nodePort?: number]>([
  ["one comes", [first, third], [first, second, third], [], 0],
  ["one goes", [first, second, third], [first, third], ["IPv4 answers 10.244.0.2"], 1],
  ["one goes, of a node port too", [first, second, third], [first, third], ["IPv4 answers 10.244.0.2"], 1, 30053],
  ["two go", [first, second, third], [first], ["IPv4 all"], 2],
  ["one begins to end", [first, second, third], [first, leaving, third], [], 0],
  ["one that was ending is gone", [first, leaving, third], [first, third], ["IPv4 answers 10.244.0.2"], 1],
  ["the last one goes: left alone", [first], [], [], 0],
  ["the first ones come", [], [first, third], ["IPv4 to 10.96.0.1"], 1],
  ["the first ones come, at a node port too", [], [first, third], ["IPv4 all"], 1, 30053],
  ["of IPv6 one goes", v6, v6.slice(1), ["IPv6 answers fd44::1"], 0],
])("%s", (_, before, after, asked, ended, nodePort) => {
  const { store, flows, sync, udp } = world(before, "UDP", nodePort);
  // those that stand for no endpoint of this case were ended when it began
  flows.flows.length = 0;
  flows.flows.push(...new ListedFlows().flows);
  put(store, "EndpointSlice", { ...makeSlice("web", after, ports), metadata: makeSlice("web", before, ports).metadata ?? {} }, "2");
  expect([sync(), flows.asked]).toEqual([ended, asked]);
  expect(udp.due).toBe(false);
  expect([sync(), flows.asked]).toEqual([0, asked]);
});

test("TCP has none", () => {
  const { store, flows, sync } = world([first, second], "TCP");
  put(store, "EndpointSlice", makeSlice("web", [first], { ports: [{ name: "", protocol: "TCP", port: 53 }] }), "2");
  expect([sync(), flows.asked]).toEqual([0, []]);
});

test("a table that cannot be read is read by the next call", () => {
  const { store, flows, sync, udp } = world([first, second], "UDP");
  put(store, "EndpointSlice", makeSlice("web", [first], ports), "2");
  flows.fault = true;
  expect([sync(), udp.due]).toEqual([0, true]);
  flows.fault = false;
  expect([sync(), udp.due, flows.asked]).toEqual([1, false, ["IPv4 answers 10.244.0.2"]]);
});
