import fc from "fast-check";
import { expect, test } from "vitest";
import type { ConfigMap, Namespace, Node, Pod, Service, ServiceSpec } from "../../../src/api/types/core-v1.generated.ts";
import type { PodDisruptionBudget } from "../../../src/api/types/policy-v1.generated.ts";
import { type Cidr, cidrsOverlap, parseCidr } from "../../../src/base/cidr.ts";
import { reconcileBudget } from "../../../src/controllers/disruption/reconcile.ts";
import { reconcileNamespace } from "../../../src/controllers/namespace/reconcile.ts";
import { reconcileNodeRanges } from "../../../src/controllers/node-ipam/reconcile.ts";
import { reconcileNode } from "../../../src/controllers/node-lifecycle/reconcile.ts";
import type { Write } from "../../../src/controllers/outcome.ts";
import { reconcileStrayPod, surplusEndedPods } from "../../../src/controllers/pod-gc/reconcile.ts";
import { reconcileRootCa } from "../../../src/controllers/root-ca/reconcile.ts";
import { addressesOf, reconcileLoadBalancer } from "../../../src/controllers/service-lb/reconcile.ts";
import { reconcileDefaultAccount } from "../../../src/controllers/serviceaccount/reconcile.ts";
import { makePod, makeService, printWrites } from "../../support/workload-builders.ts";

const cidr = (text: string): Cidr => parseCidr(text) ?? expect.fail(text);
const now = Date.parse("2030-01-01T01:00:00Z");
const bodyOf = (w: Write | undefined): unknown => (w?.kind === "patch" ? w.patch.body : undefined);

test("node ranges: the lowest free one of each family; none left is told", () => {
  const node = (name: string, ...podCIDRs: string[]): Node => ({
    metadata: { name },
    spec: podCIDRs.length === 0 ? {} : { podCIDR: podCIDRs[0] ?? "", podCIDRs },
  });
  const mask = { ipv4: 24, ipv6: 64 };
  const ranges = (others: readonly Node[], ...clusters: string[]) =>
    reconcileNodeRanges(node("n"), others, clusters.map(cidr), mask).writes;
  expect(bodyOf(ranges([], "10.244.0.0/16", "fd00::/48")[0])).toEqual({
    spec: { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24", "fd00::/64"] },
  });
  const others = [node("a", "10.244.0.0/24"), node("b", "10.244.2.0/23")];
  expect(bodyOf(ranges(others, "10.244.0.0/16")[0])).toEqual({ spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24"] } });
  expect(printWrites(ranges([node("a", "10.244.0.0/24")], "10.244.0.0/24"))).toEqual([
    "CIDRNotAvailable: Node n cannot have a pod range: all of 10.244.0.0/24 is given to nodes",
  ]);
  expect(reconcileNodeRanges(node("n", "10.1.0.0/24"), [], [cidr("10.244.0.0/16")], mask).writes).toEqual([]);
});

test("node ranges never overlap", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 22, max: 28 }), { maxLength: 12 }), (sizes) => {
      const nodes: Node[] = [];
      for (const [i, bits] of sizes.entries()) {
        const [write] = reconcileNodeRanges({ metadata: { name: `n${i}` } }, nodes, [cidr("10.0.0.0/20")], { ipv4: bits, ipv6: 64 }).writes;
        if (write?.kind === "patch") nodes.push({ metadata: { name: `n${i}` }, ...(write.patch.body as { spec: { podCIDRs: string[] } }) });
      }
      const all = nodes.flatMap((n) => n.spec?.podCIDRs ?? []).map(cidr);
      for (const [i, a] of all.entries()) for (const b of all.slice(i + 1)) expect(cidrsOverlap(a, b)).toBe(false);
    }),
  );
});

const lb = (name: string, spec: ServiceSpec = {}, ...ips: string[]): Service => ({
  ...makeService({ type: "LoadBalancer", ...spec }, { name, uid: name, creationTimestamp: `2030-01-01T00:00:0${name.length}Z` }),
  status: ips.length === 0 ? {} : { loadBalancer: { ingress: ips.map((ip) => ({ ip, ipMode: "VIP" })) } },
});
const pool = [cidr("172.20.0.0/30")];
interface LbCase {
  readonly name: string;
  readonly service: Service;
  readonly others?: readonly Service[];
  readonly pool?: readonly Cidr[];
  /** The addresses its status says afterwards. */
  readonly want: readonly string[];
  readonly event?: string;
}
const lbCases: readonly LbCase[] = [
  { name: "the first free address", service: lb("a"), want: ["172.20.0.1"], event: "AddressAssigned: Assigned 172.20.0.1" },
  {
    name: "one that others do not have",
    service: lb("a"),
    others: [lb("b", {}, "172.20.0.1")],
    want: ["172.20.0.2"],
    event: "AddressAssigned: Assigned 172.20.0.2",
  },
  { name: "it keeps what it has", service: lb("a", {}, "172.20.0.3"), want: ["172.20.0.3"] },
  {
    name: "unless an older one has it, too",
    service: lb("aa", {}, "172.20.0.1"),
    others: [lb("b", {}, "172.20.0.1")],
    want: ["172.20.0.2"],
    event: "AddressAssigned: Assigned 172.20.0.2",
  },
  { name: "the older one keeps it", service: lb("a", {}, "172.20.0.1"), others: [lb("bb", {}, "172.20.0.1")], want: ["172.20.0.1"] },
  {
    name: "what is no longer in the pool is replaced",
    service: lb("a", {}, "192.0.2.1"),
    want: ["172.20.0.1"],
    event: "AddressAssigned: Assigned 172.20.0.1",
  },
  {
    name: "a requested address",
    service: lb("a", { loadBalancerIP: "172.20.0.3" }, "172.20.0.1"),
    want: ["172.20.0.3"],
    event: "AddressAssigned: Assigned 172.20.0.3",
  },
  {
    name: "a requested address that is used",
    service: lb("a", { loadBalancerIP: "172.20.0.3" }),
    others: [lb("b", {}, "172.20.0.3")],
    want: [],
    event: "AddressInUse: spec.loadBalancerIP 172.20.0.3 is used by Service shop/b",
  },
  {
    name: "a requested address outside",
    service: lb("a", { loadBalancerIP: "8.8.8.8" }),
    want: [],
    event: "AddressNotInPool: spec.loadBalancerIP 8.8.8.8 is not in the pool 172.20.0.0/30",
  },
  {
    name: "a request that is no address",
    service: lb("a", { loadBalancerIP: "web" }),
    want: [],
    event: "AddressInvalid: spec.loadBalancerIP web is no IP address",
  },
  {
    name: "no address left",
    service: lb("a"),
    others: ["1", "2", "3"].map((n) => lb(`b${n}`, {}, `172.20.0.${n}`)),
    want: [],
    event: "AddressPoolExhausted: no free address in the pool 172.20.0.0/30: release one or widen the pool",
  },
  { name: "another class", service: lb("a", { loadBalancerClass: "example.com/x" }), want: [] },
  {
    name: "another class keeps what its controller gave",
    service: lb("a", { loadBalancerClass: "example.com/x" }, "172.20.0.1"),
    want: ["172.20.0.1"],
  },
  {
    name: "our class by name",
    service: lb("a", { loadBalancerClass: "fairway.dev/pool" }),
    want: ["172.20.0.1"],
    event: "AddressAssigned: Assigned 172.20.0.1",
  },
  { name: "no LoadBalancer any more", service: lb("a", { type: "ClusterIP" }, "172.20.0.1"), want: [] },
  {
    name: "both families",
    service: lb("a", { ipFamilies: ["IPv6", "IPv4"] }),
    pool: [...pool, cidr("fd00::/126")],
    want: ["fd00::", "172.20.0.1"],
    event: "AddressAssigned: Assigned fd00::, 172.20.0.1",
  },
  {
    name: "the family that the pool has",
    service: lb("a", { ipFamilies: ["IPv6", "IPv4"] }),
    want: ["172.20.0.1"],
    event: "AddressAssigned: Assigned 172.20.0.1",
  },
  {
    name: "a family that the pool has not",
    service: lb("a", { ipFamilies: ["IPv6"] }),
    want: [],
    event: "AddressPoolExhausted: the pool has no IPv6 range",
  },
];
test.each(lbCases)("LoadBalancer: $name", ({ service, others, want, event, ...o }) => {
  const { writes } = reconcileLoadBalancer(service, others ?? [], o.pool ?? pool);
  const status = writes.find((w) => w.kind === "update");
  const after = status?.kind === "update" ? (status.object as Service) : service;
  expect(addressesOf(after)).toEqual(want);
  expect(printWrites(writes).filter((l) => !l.startsWith("update"))).toEqual(event === undefined ? [] : [event]);
});

const namespace = (o: Partial<Namespace> = {}): Namespace => ({
  metadata: { name: "shop", uid: "ns", ...o.metadata },
  spec: { finalizers: ["kubernetes"] },
  ...(o.status === undefined ? {} : { status: o.status }),
});
const going = namespace({ metadata: { deletionTimestamp: "2030-01-01T00:00:00Z" } });

test("what every namespace has, and one that goes does not get", () => {
  const copy = (data: Record<string, string>): ConfigMap => ({ metadata: { namespace: "shop", name: "kube-root-ca.crt" }, data });
  expect(printWrites(reconcileDefaultAccount(namespace(), undefined).writes)).toEqual(["create serviceaccounts default"]);
  expect(reconcileDefaultAccount(namespace(), { metadata: { name: "default" } }).writes).toEqual([]);
  expect(reconcileDefaultAccount(going, undefined).writes).toEqual([]);
  expect(printWrites(reconcileRootCa(namespace(), undefined, "CA").writes)).toEqual(["create configmaps kube-root-ca.crt"]);
  expect(reconcileRootCa(namespace(), copy({ "ca.crt": "CA" }), "CA").writes).toEqual([]);
  expect(printWrites(reconcileRootCa(namespace(), copy({ "ca.crt": "old" }), "CA").writes)).toEqual(["update configmaps kube-root-ca.crt"]);
  expect(printWrites(reconcileRootCa(namespace(), copy({ "ca.crt": "CA", more: "x" }), "CA").writes)).toEqual([
    "update configmaps kube-root-ca.crt",
  ]);
  expect(reconcileRootCa(going, undefined, "CA").writes).toEqual([]);
});

test("a namespace goes when nothing is left, and says until then what is", () => {
  const left = (counts: Record<string, number>, failures: string[] = []) => ({
    counts: new Map(Object.entries(counts)),
    finalizers: new Map([["a/b", 1]]),
    failures,
  });
  expect(reconcileNamespace(namespace(), left({}), now).writes).toEqual([]);
  expect(printWrites(reconcileNamespace(going, left({}), now).writes)).toEqual(["update namespaces/finalize shop"]);
  const waiting = reconcileNamespace(going, left({ "pods.": 2 }, ["x.y: no"]), now);
  expect(waiting.againAfterMs).toBeGreaterThan(0);
  expect(bodyOf(waiting.writes[0])).toMatchObject({
    status: {
      phase: "Terminating",
      conditions: [
        { type: "NamespaceDeletionContentFailure", status: "True" },
        { type: "NamespaceContentRemaining", status: "True", message: "Some resources are remaining: pods. has 2 resource instances" },
        {
          type: "NamespaceFinalizersRemaining",
          status: "True",
          message: "Some content in the namespace has finalizers remaining: a/b in 1 resource instances",
        },
      ],
    },
  });
});

const nodeWith = (ready: string | undefined, spec: Node["spec"] = {}): Node => ({
  metadata: { name: "n1", uid: "n1", resourceVersion: "7" },
  spec,
  status:
    ready === undefined
      ? {}
      : {
          conditions: [
            { type: "Ready", status: ready },
            { type: "DiskPressure", status: ready === "Unknown" ? "Unknown" : "False" },
          ],
        },
});
const look = (node: Node, pods: readonly Pod[] = [], silentMs = 0) => reconcileNode({ node, pods, silentMs, now });
const taintsOf = (w: readonly Write[]) =>
  (
    bodyOf(w.find((x) => x.kind === "patch" && x.of.plural === "nodes" && x.subresource === undefined)) as
      | { spec?: { taints?: { key: string; effect: string }[] | null } }
      | undefined
  )?.spec?.taints;

test("a node that is well is looked at again when its grace ends", () => {
  expect(look(nodeWith("True"), [], 10_000)).toEqual({ writes: [], againAfterMs: 30_000 });
});

test("a silent node becomes Unknown, then tainted, and its pods not ready", () => {
  const silent = look(nodeWith("True"), [], 40_000);
  expect(bodyOf(silent.writes[0])).toMatchObject({
    status: {
      conditions: [
        { type: "Ready", status: "Unknown", reason: "NodeStatusUnknown" },
        { type: "DiskPressure", status: "Unknown" },
      ],
    },
  });
  expect(printWrites(silent.writes)).toEqual(["patch nodes/status n1", "NodeNotReady: Node n1 status is now: NodeNotReady"]);
  const tolerant = makePod("t", { spec: { tolerations: [{ operator: "Exists" }] } });
  const { writes } = look(nodeWith("Unknown"), [tolerant], 40_000);
  expect(taintsOf(writes)?.map((t) => `${t.key}:${t.effect}`)).toEqual([
    "node.kubernetes.io/unreachable:NoSchedule",
    "node.kubernetes.io/unreachable:NoExecute",
  ]);
  expect(printWrites(writes)).toEqual(["patch nodes n1", "patch pods/status t"]);
});

test.each([
  ["not ready", nodeWith("False"), ["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"]],
  ["cordoned", nodeWith("True", { unschedulable: true }), ["node.kubernetes.io/unschedulable:NoSchedule"]],
  ["uncordoned", nodeWith("True", { taints: [{ key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }] }), []],
  [
    "back again, with a taint of its own",
    nodeWith("True", {
      taints: [
        { key: "own", effect: "NoSchedule" },
        { key: "node.kubernetes.io/unreachable", effect: "NoExecute" },
      ],
    }),
    ["own:NoSchedule"],
  ],
  ["without conditions", nodeWith(undefined), undefined],
] as const)("taints of a node that is %s", (_, node, want) => {
  const taints = taintsOf(look(node).writes);
  expect(taints === null ? [] : taints?.map((t) => `${t.key}:${t.effect}`)).toEqual(want);
});

const seconds = (tolerationSeconds?: number) => ({
  spec: {
    tolerations: [
      {
        key: "node.kubernetes.io/unreachable",
        operator: "Exists",
        effect: "NoExecute",
        ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
      },
    ],
  },
});
test("eviction: at once, after the time tolerated, or never", () => {
  const node = nodeWith("Unknown", {
    taints: [{ key: "node.kubernetes.io/unreachable", effect: "NoExecute", timeAdded: "2030-01-01T00:59:00Z" }],
  });
  const pods = [
    makePod("none", { ready: false }),
    makePod("past", { ready: false, ...seconds(60) }),
    makePod("later", { ready: false, ...seconds(300) }),
    makePod("ever", { ready: false, ...seconds() }),
  ];
  const outcome = look(node, pods, 40_000);
  expect(printWrites(outcome.writes).filter((l) => l.startsWith("delete"))).toEqual(["delete pods none", "delete pods past"]);
  expect(outcome.againAfterMs).toBe(240_000);
});

const budget = (spec: PodDisruptionBudget["spec"], status?: Partial<PodDisruptionBudget["status"]>): PodDisruptionBudget => ({
  metadata: { namespace: "shop", name: "web", generation: 1 },
  spec: { selector: { matchLabels: { app: "web" } }, ...spec },
  ...(status === undefined ? {} : { status: { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0, ...status } }),
});
const five = ["a", "b", "c", "d", "e"].map((n) => makePod(n, { ready: n !== "e" }));
test.each([
  ["minAvailable as a number", { minAvailable: 2 }, 5, [2, 4, 2, 5]],
  ["more than there are", { minAvailable: 9 }, 5, [0, 4, 9, 5]],
  ["minAvailable in percent, of what is wanted", { minAvailable: "50%" }, 6, [1, 4, 3, 6]],
  ["maxUnavailable", { maxUnavailable: 2 }, 5, [1, 4, 3, 5]],
  ["maxUnavailable in percent, rounded up", { maxUnavailable: "30%" }, 5, [1, 4, 3, 5]],
  ["percent without a controller", { maxUnavailable: 1 }, undefined, [0, 4, 0, 5]],
] as const)("budget: %s", (_, spec, wanted, [disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods]) => {
  const [write] = reconcileBudget({ budget: budget(spec), pods: five, wanted, now }).writes;
  expect(bodyOf(write)).toMatchObject({
    status: { disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods, observedGeneration: 1 },
  });
});

test("an eviction that was allowed counts until its pod goes, two minutes at most", () => {
  const disruptedPods = { a: "2030-01-01T00:59:00Z", b: "2030-01-01T00:50:00Z", gone: "2030-01-01T00:59:30Z" };
  const outcome = reconcileBudget({ budget: budget({ minAvailable: 2 }, { disruptedPods }), pods: five, wanted: 5, now });
  expect(bodyOf(outcome.writes[0])).toMatchObject({
    status: { disruptionsAllowed: 1, currentHealthy: 3, disruptedPods: { a: "2030-01-01T00:59:00Z" } },
  });
  expect(outcome.againAfterMs).toBe(60_000);
});

test.each([
  ["without a node, going", makePod("a", { going: true }), undefined, 0, ["delete pods a"]],
  ["without a node", makePod("a"), undefined, 0, []],
  ["on a node that is there", makePod("a", { node: "n1", going: true }), nodeWith("True"), 0, []],
  ["on a node that has just gone", makePod("a", { node: "n1" }), undefined, 10_000, []],
  ["on a node long gone", makePod("a", { node: "n1" }), undefined, 40_000, ["patch pods/status a", "delete pods a"]],
  ["ended, on a node long gone", makePod("a", { node: "n1", phase: "Failed" }), undefined, 40_000, ["delete pods a"]],
  [
    "going, on a node that was given up",
    makePod("a", { node: "n1", going: true }),
    nodeWith("False", { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] }),
    0,
    ["patch pods/status a", "delete pods a"],
  ],
] as const)("a stray pod %s", (_, pod, node, missingMs, want) => {
  expect(printWrites(reconcileStrayPod({ pod, node, missingMs }).writes)).toEqual(want);
});

test("ended pods beyond the limit go, oldest first", () => {
  const ended = [3, 1, 2].map((n) =>
    makePod(`p${n}`, { phase: "Succeeded", meta: { name: `p${n}`, creationTimestamp: `2030-01-0${n}T00:00:00Z` } }),
  );
  expect(surplusEndedPods([...ended, makePod("alive")], 1).map((p) => p.metadata?.name)).toEqual(["p1", "p2"]);
});
