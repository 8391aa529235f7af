import { expect, test } from "vitest";
import { podRequests } from "../../../src/api/pod-requests.ts";
import type { Node, Pod, PodSpec } from "../../../src/api/types/core-v1.generated.ts";
import { nodeInfo } from "../../../src/scheduler/node-info.ts";
import { schedule } from "../../../src/scheduler/schedule.ts";

const zone = "topology.kubernetes.io/zone";
const makeNode = (name: string, o: Partial<Node> = {}): Node => ({
  metadata: { name, labels: { "kubernetes.io/hostname": name, ...o.metadata?.labels } },
  spec: o.spec ?? {},
  status: o.status ?? { allocatable: { cpu: "2", memory: "4Gi", pods: "10" } },
});
const makePod = (name: string, spec: PodSpec = {}, labels: Record<string, string> = {}): Pod => ({
  metadata: { namespace: "shop", name, uid: name, labels },
  spec: { containers: [{ name: "main" }], ...spec },
});
const asks = (cpu: string, memory = "1Mi"): PodSpec => ({ containers: [{ name: "main", resources: { requests: { cpu, memory } } }] });
const near = (topologyKey: string, app: string) => [{ topologyKey, labelSelector: { matchLabels: { app } } }];
const three = [makeNode("a"), makeNode("b"), makeNode("c")];

interface Case {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly there?: Readonly<Record<string, readonly Pod[]>>;
  readonly pod: Pod;
  readonly want: string;
}

const cases: readonly Case[] = [
  { name: "no nodes", nodes: [], pod: makePod("p"), want: "no nodes available to schedule pods" },
  { name: "too large for all", nodes: three, pod: makePod("p", asks("3")), want: "0/3 nodes are available: 3 Insufficient cpu." },
  {
    name: "too large in two ways",
    nodes: three,
    pod: makePod("p", asks("3", "5Gi")),
    want: "0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory.",
  },
  {
    name: "different reasons, counted and sorted",
    nodes: [
      makeNode("a", { spec: { unschedulable: true } }),
      makeNode("b", { spec: { taints: [{ key: "k", value: "v", effect: "NoSchedule" }] } }),
      makeNode("c"),
    ],
    pod: makePod("p", asks("3")),
    want: "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable.",
  },
  {
    name: "what is there counts",
    nodes: three,
    there: { a: [makePod("x", asks("1500m"))], c: [makePod("y", asks("1100m"))] },
    pod: makePod("p", asks("1")),
    want: "b",
  },
  {
    name: "ended pods do not count",
    nodes: [makeNode("a")],
    there: { a: [{ ...makePod("x", asks("2")), status: { phase: "Succeeded" } }] },
    pod: makePod("p", asks("2")),
    want: "a",
  },
  {
    name: "too many pods",
    nodes: [makeNode("a", { status: { allocatable: { cpu: "1", pods: "1" } } })],
    there: { a: [makePod("x")] },
    pod: makePod("p"),
    want: "0/1 nodes are available: 1 Too many pods.",
  },
  {
    name: "an extended resource nobody has",
    nodes: [makeNode("a")],
    pod: makePod("p", { containers: [{ name: "m", resources: { requests: { "x.y/gpu": "1" } } }] }),
    want: "0/1 nodes are available: 1 Insufficient x.y/gpu.",
  },
  {
    name: "node selector",
    nodes: [makeNode("a"), makeNode("b", { metadata: { labels: { disk: "ssd" } } })],
    pod: makePod("p", { nodeSelector: { disk: "ssd" } }),
    want: "b",
  },
  {
    name: "node selector that nobody matches",
    nodes: three,
    pod: makePod("p", { nodeSelector: { disk: "ssd" } }),
    want: "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
  },
  {
    name: "required affinity by name",
    nodes: three,
    pod: makePod("p", {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["c"] }] }],
          },
        },
      },
    }),
    want: "c",
  },
  {
    name: "a taint that is tolerated",
    nodes: [makeNode("a", { spec: { taints: [{ key: "k", effect: "NoSchedule" }] } })],
    pod: makePod("p", { tolerations: [{ key: "k", operator: "Exists" }] }),
    want: "a",
  },
  {
    name: "a soft taint is avoided",
    nodes: [makeNode("a", { spec: { taints: [{ key: "k", effect: "PreferNoSchedule" }] } }), makeNode("b")],
    pod: makePod("p"),
    want: "b",
  },
  {
    name: "host port taken",
    nodes: [makeNode("a"), makeNode("b")],
    there: { a: [makePod("x", { containers: [{ name: "m", ports: [{ containerPort: 80, hostPort: 80 }] }] })] },
    pod: makePod("p", { containers: [{ name: "m", ports: [{ containerPort: 8080, hostPort: 80 }] }] }),
    want: "b",
  },
  {
    name: "host port taken everywhere, host network counts",
    nodes: [makeNode("a")],
    there: { a: [makePod("x", { hostNetwork: true, containers: [{ name: "m", ports: [{ containerPort: 80 }] }] })] },
    pod: makePod("p", { containers: [{ name: "m", ports: [{ containerPort: 80, hostPort: 80, hostIP: "10.0.0.1" }] }] }),
    want: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
  },
  {
    name: "anti-affinity",
    nodes: three,
    there: { a: [makePod("x", {}, { app: "web" })], b: [makePod("y", {}, { app: "web" })] },
    pod: makePod(
      "p",
      { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: near("kubernetes.io/hostname", "web") } } },
      { app: "web" },
    ),
    want: "c",
  },
  {
    name: "affinity finds its zone",
    nodes: [makeNode("a", { metadata: { labels: { [zone]: "1" } } }), makeNode("b", { metadata: { labels: { [zone]: "2" } } })],
    there: { b: [makePod("x", {}, { app: "db" })] },
    pod: makePod("p", { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: near(zone, "db") } } }),
    want: "b",
  },
  {
    name: "affinity to itself: the first goes anywhere",
    nodes: [makeNode("a")],
    pod: makePod(
      "p",
      { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: near("kubernetes.io/hostname", "web") } } },
      { app: "web" },
    ),
    want: "a",
  },
  {
    name: "a pod that is there refuses company",
    nodes: [makeNode("a")],
    there: {
      a: [
        makePod("x", {
          affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: near("kubernetes.io/hostname", "web") } },
        }),
      ],
    },
    pod: makePod("p", {}, { app: "web" }),
    want: "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
  },
  {
    name: "hard spread",
    nodes: three,
    there: { a: [makePod("x", {}, { app: "web" })], b: [makePod("y", {}, { app: "web" })] },
    pod: makePod(
      "p",
      {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "kubernetes.io/hostname",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: { app: "web" } },
          },
        ],
      },
      { app: "web" },
    ),
    want: "c",
  },
  {
    name: "the emptier node",
    nodes: [makeNode("a"), makeNode("b")],
    there: { a: [makePod("x", asks("1"))] },
    pod: makePod("p", asks("100m")),
    want: "b",
  },
];

test.each(cases)("$name", ({ nodes, there, pod, want }) => {
  const view = { nodes: nodes.map((n) => nodeInfo(n, there?.[n.metadata?.name ?? ""] ?? [])), namespaceLabels: () => undefined };
  const decision = schedule(pod, view);
  expect(decision.kind === "bind" ? decision.node : decision.message).toBe(want);
});

test("siblings spread over the nodes", () => {
  const there = new Map<string, Pod[]>(three.map((n) => [n.metadata?.name ?? "", []]));
  for (let i = 0; i < 9; i++) {
    const ownerReferences = [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "rs", controller: true }];
    const pod = makePod(`p${i}`);
    const owned = { ...pod, metadata: { ...pod.metadata, ownerReferences } };
    const view = { nodes: three.map((n) => nodeInfo(n, there.get(n.metadata?.name ?? "") ?? [])), namespaceLabels: () => undefined };
    const decision = schedule(owned, view);
    if (decision.kind === "bind") there.get(decision.node)?.push(owned);
  }
  expect([...there.values()].map((pods) => pods.length)).toEqual([3, 3, 3]);
});

test("requests: containers and sidecars add up, an init container counts with the sidecars before it", () => {
  const c = (cpu: string, restartPolicy?: string) => ({
    name: cpu,
    resources: { requests: { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const cpuOf = (spec: PodSpec) => podRequests(spec).get("cpu");
  expect(cpuOf({ containers: [c("100m"), c("200m")] })).toBe(300);
  expect(cpuOf({ containers: [c("100m")], initContainers: [c("500m"), c("200m")] })).toBe(500);
  expect(cpuOf({ containers: [c("100m")], initContainers: [c("50m", "Always"), c("500m")] })).toBe(550);
  expect(cpuOf({ containers: [c("1")], initContainers: [c("50m", "Always"), c("500m")], overhead: { cpu: "10m" } })).toBe(1060);
  expect(cpuOf({ containers: [{ name: "x", resources: { limits: { cpu: "2" } } }] })).toBe(2000);
});
