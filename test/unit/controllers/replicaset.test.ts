import { expect, test } from "vitest";
import type { ReplicaSet } from "../../../src/api/types/apps-v1.generated.ts";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import { resources } from "../../../src/client/resources.ts";
import { claim } from "../../../src/controllers/claim.ts";
import { podsToDelete } from "../../../src/controllers/replicaset/deletion-order.ts";
import { reconcileReplicaSet } from "../../../src/controllers/replicaset/reconcile.ts";
import { flatWrites, makePod, printWrites } from "../../support/workload-builders.ts";

const now = Date.parse("2030-01-01T01:00:00Z");
const set = (spec: ReplicaSet["spec"] = {}): ReplicaSet => ({
  metadata: { namespace: "shop", name: "web-1", uid: "rs", generation: 3 },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [] } },
    ...spec,
  },
});
const run = (replicaSet: ReplicaSet, pods: readonly Pod[], failure?: { reason: "FailedCreate"; message: string }) => {
  let n = 0;
  return reconcileReplicaSet({ replicaSet, pods, rank: () => 0, now, random: () => (n++ % 27) / 27, failure });
};

test("missing pods are made, one first, then more", () => {
  const outcome = run(set({ replicas: 3 }), [makePod("a"), makePod("gone", { going: true }), makePod("ended", { phase: "Failed" })]);
  expect(printWrites(outcome.writes)).toEqual([
    "patch replicasets/status web-1",
    "create pods web-1-bcdfg",
    "create pods web-1-hjklm",
    "SuccessfulCreate: Created pod: web-1-bcdfg",
    "SuccessfulCreate: Created pod: web-1-hjklm",
  ]);
  const made = flatWrites(outcome.writes).find((w) => w.kind === "create");
  expect(made?.kind === "create" ? made.object : undefined).toMatchObject({
    metadata: {
      generateName: "web-1-",
      labels: { app: "web" },
      ownerReferences: [
        { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-1", uid: "rs", controller: true, blockOwnerDeletion: true },
      ],
    },
  });
});

test("a set that is going makes nothing", () => {
  const going = { ...set(), metadata: { ...set().metadata, deletionTimestamp: "2030-01-01T00:00:00Z" } };
  expect(printWrites(run(going, []).writes)).toEqual(["patch replicasets/status web-1"]);
});

test("the status counts, and a pod that is not available yet is looked at again", () => {
  const pods = [
    makePod("a"),
    makePod("b", { ready: "2030-01-01T00:59:50Z" }),
    makePod("c", { ready: false }),
    makePod("d", { going: true }),
  ];
  const outcome = run(set({ replicas: 3, minReadySeconds: 30 }), pods);
  const [status] = outcome.writes;
  expect(status?.kind === "patch" ? status.patch.body : undefined).toEqual({
    status: { replicas: 3, fullyLabeledReplicas: 3, readyReplicas: 2, availableReplicas: 1, terminatingReplicas: 1, observedGeneration: 3 },
  });
  expect(outcome.againAfterMs).toBe(20_000);
});

test("a refusal becomes a condition", () => {
  const [status] = run(set(), [], { reason: "FailedCreate", message: "no quota" }).writes;
  expect(status?.kind === "patch" ? status.patch.body : undefined).toMatchObject({
    status: { conditions: [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "no quota" }] },
  });
});

const cost = (n: string) => ({ meta: { name: "x", uid: "x", annotations: { "controller.kubernetes.io/pod-deletion-cost": n } } });
test.each([
  ["without a node", makePod("a", { node: "n" }), makePod("b")],
  ["pending before running", makePod("a", { node: "n" }), makePod("b", { node: "n", phase: "Pending" })],
  ["not ready before ready", makePod("a", { node: "n" }), makePod("b", { node: "n", ready: false })],
  ["cheaper to delete", makePod("a", { node: "n" }), makePod("b", { node: "n", ...cost("-5") })],
  ["ready for a shorter time", makePod("a", { node: "n" }), makePod("b", { node: "n", ready: "2030-01-01T00:59:00Z" })],
  [
    "more restarts",
    makePod("a", { node: "n" }),
    {
      ...makePod("b", { node: "n" }),
      status: { ...makePod("b").status, containerStatuses: [{ name: "m", ready: true, restartCount: 4, image: "", imageID: "" }] },
    },
  ],
  [
    "younger",
    makePod("a", { node: "n", meta: { name: "a", creationTimestamp: "2030-01-01T00:00:00Z" } }),
    makePod("b", { node: "n", meta: { name: "b", creationTimestamp: "2030-01-01T00:59:00Z" } }),
  ],
] as const)("deleted first: %s", (_, stays, goes) => {
  expect(podsToDelete([stays, goes], 1, () => 0, now)).toEqual([goes]);
  expect(podsToDelete([goes, stays], 1, () => 0, now)).toEqual([goes]);
});

test("of equal pods the one with more siblings on its node goes", () => {
  const pods = [makePod("a", { node: "n1" }), makePod("b", { node: "n2" }), makePod("c", { node: "n2" })];
  const rank = (p: Pod) => (p.spec?.nodeName === "n2" ? 2 : 1);
  expect(podsToDelete(pods, 1, rank, now).map((p) => p.metadata?.name)).toEqual(["b"]);
});

test("orphans that fit are adopted, what fits no more is released, others' are left alone", () => {
  const owner = (uid: string) => ({ ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "x", uid, controller: true }] });
  const candidates = [
    makePod("own", { meta: { name: "own", uid: "1", labels: { app: "web" }, ...owner("rs") } }),
    makePod("strayed", { meta: { name: "strayed", uid: "2", labels: { app: "other" }, ...owner("rs") } }),
    makePod("orphan", { meta: { name: "orphan", uid: "3", labels: { app: "web" } } }),
    makePod("going", { going: true, meta: { name: "going", uid: "4", labels: { app: "web" }, deletionTimestamp: "2030-01-01T00:00:00Z" } }),
    makePod("others", { meta: { name: "others", uid: "5", labels: { app: "web" }, ...owner("other") } }),
  ];
  const result = claim({
    owner: set(),
    ownerResource: resources.replicaSets,
    selector: set().spec?.selector,
    candidates,
    of: resources.pods,
  });
  expect(result.owned.map((p) => p.metadata?.name)).toEqual(["own", "orphan"]);
  expect(result.writes.map((w) => (w.kind === "patch" ? [w.at.name, w.patch.body] : []))).toMatchObject([
    ["strayed", { metadata: { uid: "2", ownerReferences: null } }],
    ["orphan", { metadata: { uid: "3", ownerReferences: [{ kind: "ReplicaSet", name: "web-1", uid: "rs", controller: true }] } }],
  ]);
});
