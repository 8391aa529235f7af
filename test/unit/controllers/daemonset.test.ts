import { expect, test } from "vitest";
import type { ControllerRevision, DaemonSet, DaemonSetSpec } from "../../../src/api/types/apps-v1.generated.ts";
import type { Node, Pod, PodSpec } from "../../../src/api/types/core-v1.generated.ts";
import { daemonPod, nodeOfDaemonPod, placementOn } from "../../../src/controllers/daemonset/placement.ts";
import { reconcileDaemonSet } from "../../../src/controllers/daemonset/reconcile.ts";
import { flatWrites, makePod, printWrites } from "../../support/workload-builders.ts";

const now = Date.parse("2030-01-01T01:00:00Z");
const template = (spec: PodSpec = {}) => ({ metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "main" }], ...spec } });
const makeSet = (spec: Partial<DaemonSetSpec> = {}): DaemonSet => ({
  metadata: { namespace: "shop", name: "agent", uid: "ds", generation: 1 },
  spec: { selector: { matchLabels: { app: "web" } }, template: template(), ...spec },
});
const node = (name: string, spec: Node["spec"] = {}, labels: Record<string, string> = {}): Node => ({ metadata: { name, labels }, spec });
const revision: ControllerRevision = {
  metadata: {
    namespace: "shop",
    name: "agent-new",
    labels: { "controller-revision-hash": "new" },
    ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "agent", uid: "ds", controller: true }],
  },
  data: { spec: { template: { ...template(), $patch: "replace" } } },
  revision: 1,
};

/** `n1 new well`: a pod by node, revision and state; the name is `node-revision`. */
function daemon(text: string): Pod {
  const [on, rev, state = "well"] = text.split(" ") as [string, string, string | undefined];
  const name = `${on}-${rev}`;
  const going = state === "going" ? { deletionTimestamp: "2030-01-01T00:00:00Z" } : {};
  const creationTimestamp = rev === "old" ? "2030-01-01T00:00:00Z" : "2030-01-01T00:30:00Z";
  return makePod(name, {
    node: on,
    ready: state === "well",
    phase: state === "failed" ? "Failed" : "Running",
    meta: { namespace: "shop", name, uid: name, creationTimestamp, labels: { app: "web", "controller-revision-hash": rev }, ...going },
  });
}

const run = (set: DaemonSet, nodes: readonly Node[], pods: readonly string[]) =>
  reconcileDaemonSet({ set, nodes, pods: pods.map(daemon), revisions: [revision], revisionNamed: () => revision, now, random: () => 0 });
const steps = (set: DaemonSet, nodes: readonly Node[], pods: readonly string[]): readonly string[] =>
  flatWrites(run(set, nodes, pods).writes).flatMap((w) => {
    if (w.kind === "create" && w.of.plural === "pods") return [`create on ${nodeOfDaemonPod(w.object as Pod)}`];
    return w.kind === "delete" ? [`delete ${w.object.metadata?.name}`] : [];
  });

const two = [node("n1"), node("n2")];
const rolling = (rollingUpdate: NonNullable<DaemonSetSpec["updateStrategy"]>["rollingUpdate"]): Partial<DaemonSetSpec> => ({
  updateStrategy: { type: "RollingUpdate", ...(rollingUpdate === undefined ? {} : { rollingUpdate }) },
});
test.each([
  ["one on every node", {}, two, ["n1 new"], ["create on n2"]],
  ["not beside one that is going", {}, two, ["n1 new", "n2 new going"], []],
  ["one of two is too many, the younger", {}, two, ["n1 new", "n1 old", "n2 new"], ["delete n1-new"]],
  ["a failed one goes, and is made anew when it is gone", {}, two, ["n1 new", "n2 new failed"], ["delete n2-new"]],
  ["not on a node with a taint", {}, [node("n1", { taints: [{ key: "k", effect: "NoSchedule" }] })], [], []],
  ["where it is already it may stay", {}, [node("n1", { taints: [{ key: "k", effect: "NoSchedule" }] })], ["n1 new"], []],
  ["unless the taint says NoExecute", {}, [node("n1", { taints: [{ key: "k", effect: "NoExecute" }] })], ["n1 new"], ["delete n1-new"]],
  ["an update takes one at a time", rolling(undefined), two, ["n1 old", "n2 old"], ["delete n1-old"]],
  ["none while one is missing", rolling(undefined), two, ["n1 old", "n2 new sick"], []],
  ["sick ones of the old template cost nothing", rolling(undefined), two, ["n1 old", "n2 old sick"], ["delete n2-old"]],
  ["two at a time", rolling({ maxUnavailable: 2 }), two, ["n1 old", "n2 old"], ["delete n1-old", "delete n2-old"]],
  ["half of them", rolling({ maxUnavailable: "50%" }), two, ["n1 old", "n2 old"], ["delete n1-old"]],
  ["no update", { updateStrategy: { type: "OnDelete" } }, two, ["n1 old", "n2 old"], []],
  ["surge: a new one first", rolling({ maxSurge: 1, maxUnavailable: 0 }), two, ["n1 old", "n2 old"], ["create on n1"]],
  ["surge: wait until it serves", rolling({ maxSurge: 1, maxUnavailable: 0 }), two, ["n1 old", "n1 new sick", "n2 old"], []],
  ["surge: then the old one goes", rolling({ maxSurge: 1, maxUnavailable: 0 }), two, ["n1 old", "n1 new", "n2 old"], ["delete n1-old"]],
] as const)("%s", (_, spec, nodes, pods, want) => {
  expect(steps(makeSet(spec), nodes, pods)).toEqual(want);
});

test("the status counts nodes", () => {
  const nodes = [...two, node("n3", { taints: [{ key: "k", effect: "NoSchedule" }] })];
  const [write] = run(makeSet({ updateStrategy: { type: "OnDelete" } }), nodes, ["n1 old", "n2 new sick", "n3 new"]).writes;
  expect(write?.kind === "patch" ? write.patch.body : undefined).toEqual({
    status: {
      desiredNumberScheduled: 2,
      currentNumberScheduled: 2,
      numberMisscheduled: 1,
      numberReady: 1,
      updatedNumberScheduled: 1,
      numberAvailable: 1,
      numberUnavailable: 1,
      observedGeneration: 1,
    },
  });
});

test.each([
  ["any node", {}, node("n1"), true],
  [
    "a cordoned node",
    {},
    node("n1", { unschedulable: true, taints: [{ key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }] }),
    true,
  ],
  ["a node that is not ready", {}, node("n1", { taints: [{ key: "node.kubernetes.io/not-ready", effect: "NoExecute" }] }), true],
  [
    "no network, for one that needs it",
    {},
    node("n1", { taints: [{ key: "node.kubernetes.io/network-unavailable", effect: "NoSchedule" }] }),
    false,
  ],
  [
    "no network, on the host's",
    { hostNetwork: true },
    node("n1", { taints: [{ key: "node.kubernetes.io/network-unavailable", effect: "NoSchedule" }] }),
    true,
  ],
  ["another label", { nodeSelector: { disk: "ssd" } }, node("n1"), false],
  ["the label asked for", { nodeSelector: { disk: "ssd" } }, node("n1", {}, { disk: "ssd" }), true],
] as const)("placed on %s", (_, spec, on, want) => {
  expect(placementOn(makeSet({ template: template(spec) }), on).run).toBe(want);
});

test("a daemon pod can go to its node only, and says which before it is there", () => {
  const pod = daemonPod(makeSet(), "n1", "hash", "abcde");
  expect(nodeOfDaemonPod(pod)).toBe("n1");
  expect(pod.metadata).toMatchObject({ name: "agent-abcde", labels: { app: "web", "controller-revision-hash": "hash" } });
  expect(pod.spec?.tolerations?.map((t) => t.key)).toContain("node.kubernetes.io/unschedulable");
});

test("the revision of a template is made before any pod", () => {
  const set = makeSet();
  const { writes } = reconcileDaemonSet({ set, nodes: two, pods: [], revisions: [], revisionNamed: () => undefined, now, random: () => 0 });
  expect(printWrites(writes).map((l) => l.replace(/agent-\w+/, "NAME"))).toEqual(["create controllerrevisions NAME"]);
});
