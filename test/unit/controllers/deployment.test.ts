import fc from "fast-check";
import { expect, test } from "vitest";
import type { Deployment, DeploymentSpec, ReplicaSet } from "../../../src/api/types/apps-v1.generated.ts";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import { reconcileDeployment } from "../../../src/controllers/deployment/reconcile.ts";
import { limitsOf } from "../../../src/controllers/deployment/replica-sets.ts";
import { scaledSizes } from "../../../src/controllers/deployment/scaling.ts";
import { flatWrites, makePod, printWrites } from "../../support/workload-builders.ts";

const now = Date.parse("2030-01-01T00:10:00Z");
const template = (image: string) => ({ metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "main", image }] } });

function makeDeployment(
  spec: Partial<DeploymentSpec> = {},
  status: Deployment["status"] = {},
  annotations: Record<string, string> = {},
): Deployment {
  return {
    metadata: { namespace: "shop", name: "web", uid: "d", generation: 2, annotations },
    spec: { replicas: 10, selector: { matchLabels: { app: "web" } }, template: template("v2"), progressDeadlineSeconds: 600, ...spec },
    status,
  };
}

interface SetOptions {
  readonly image: string;
  readonly size: number;
  readonly available?: number;
  readonly revision?: number;
  readonly desired?: number;
  readonly max?: number;
}
let serial = 0;
function makeSet(o: SetOptions): ReplicaSet {
  const name = `web-${o.image}`;
  return {
    metadata: {
      namespace: "shop",
      name,
      uid: name,
      generation: 1,
      creationTimestamp: `2030-01-01T00:00:${String(serial++ % 60).padStart(2, "0")}Z`,
      annotations: {
        "deployment.kubernetes.io/revision": String(o.revision ?? 1),
        "deployment.kubernetes.io/desired-replicas": String(o.desired ?? 10),
        "deployment.kubernetes.io/max-replicas": String(o.max ?? 13),
      },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "d", controller: true }],
    },
    spec: {
      replicas: o.size,
      selector: { matchLabels: { app: "web" } },
      template: { ...template(o.image), metadata: { labels: { app: "web", "pod-template-hash": o.image } } },
    },
    status: { replicas: o.size, availableReplicas: o.available ?? o.size, readyReplicas: o.available ?? o.size, observedGeneration: 1 },
  };
}

function run(deployment: Deployment, sets: readonly ReplicaSet[], pods: readonly Pod[] = [], failure?: string) {
  return reconcileDeployment({
    deployment,
    sets,
    setNamed: (n) => sets.find((s) => s.metadata?.name === n),
    podsOf: () => pods,
    now,
    failure,
  });
}
/** What a step does to sizes, in the words of its events. */
const scalings = (d: Deployment, sets: readonly ReplicaSet[], pods: readonly Pod[] = []): readonly string[] =>
  printWrites(run(d, sets, pods).writes)
    .filter((l) => l.startsWith("ScalingReplicaSet"))
    .map((l) => l.replace("ScalingReplicaSet: Scaled ", "").replace("replica set web-", ""));
const statusOf = (outcome: ReturnType<typeof run>) => {
  const write = flatWrites(outcome.writes).find((w) => w.kind === "patch" && w.of.plural === "deployments" && w.subresource === "status");
  return write?.kind === "patch" ? (write.patch.body as { status: Deployment["status"] }).status : undefined;
};

test.each([
  ["the default of 25 %", {}, 10, { surge: 3, unavailable: 2 }],
  ["numbers", { maxSurge: 1, maxUnavailable: 0 }, 10, { surge: 1, unavailable: 0 }],
  ["both zero", { maxSurge: 0, maxUnavailable: "0%" }, 10, { surge: 0, unavailable: 1 }],
  ["small", { maxSurge: "25%", maxUnavailable: "25%" }, 1, { surge: 1, unavailable: 0 }],
  ["more than there are", { maxSurge: 0, maxUnavailable: 5 }, 3, { surge: 0, unavailable: 3 }],
] as const)("limits: %s", (_, rollingUpdate, replicas, want) => {
  expect(limitsOf(makeDeployment({ replicas, strategy: { type: "RollingUpdate", rollingUpdate } }))).toEqual(want);
});

test("the first ReplicaSet is made with the hash of the template, and the Deployment gets its revision", () => {
  const outcome = run(makeDeployment(), []);
  const lines = printWrites(outcome.writes);
  expect(lines[0]).toMatch(/^create replicasets web-[bcdfghjklmnpqrstvwxz2456789]+$/);
  expect(lines.slice(1).map((l) => l.replace(/web-\w+/, "SET"))).toEqual([
    "ScalingReplicaSet: Scaled up replica set SET from 0 to 10",
    "patch deployments web",
    "patch deployments/status web",
  ]);
  const [create] = outcome.writes;
  const set = create?.kind === "create" ? (create.object as ReplicaSet) : undefined;
  const hash = set?.metadata?.labels?.["pod-template-hash"] ?? "";
  expect(set?.metadata?.name).toBe(`web-${hash}`);
  expect(set?.spec?.selector?.matchLabels).toEqual({ app: "web", "pod-template-hash": hash });
  expect(set?.spec?.template?.metadata?.labels).toEqual({ app: "web", "pod-template-hash": hash });
  expect(set?.metadata?.annotations).toEqual({
    "deployment.kubernetes.io/revision": "1",
    "deployment.kubernetes.io/desired-replicas": "10",
    "deployment.kubernetes.io/max-replicas": "13",
  });
  expect(statusOf(outcome)?.conditions?.map((c) => [c.type, c.reason])).toEqual([
    ["Available", "MinimumReplicasUnavailable"],
    ["Progressing", "NewReplicaSetCreated"],
  ]);
});

test.each([
  { had: ["3", "12"], want: "13" },
  { had: ["3546343826724305832"], want: "3546343826724305833" },
  { had: ["none", "9223372036854775808", "-1"], want: "1" },
])("the next revision after those of adopted ReplicaSets: $had", ({ had, want }) => {
  const old = had.map((revision, i) => {
    const set = makeSet({ image: `v0.${i}`, size: 0 });
    const annotations = { ...set.metadata?.annotations, "deployment.kubernetes.io/revision": revision };
    return { ...set, metadata: { ...set.metadata, annotations } };
  });
  const writes = flatWrites(run(makeDeployment(), old).writes);
  const made = writes.find((w) => w.kind === "create");
  const told = writes.find((w) => w.kind === "patch" && w.of.plural === "deployments" && w.subresource === undefined);
  expect(made?.kind === "create" && (made.object as ReplicaSet).metadata?.annotations?.["deployment.kubernetes.io/revision"]).toBe(want);
  expect(told?.kind === "patch" && told.patch.body).toEqual({
    metadata: { annotations: { "deployment.kubernetes.io/revision": want } },
  });
});

test("a name that something else has makes another hash", () => {
  const d = makeDeployment();
  const [create] = run(d, []).writes;
  const name = create?.kind === "create" ? (create.object.metadata?.name ?? "") : "";
  const other = { ...makeSet({ image: "v1", size: 0 }), metadata: { namespace: "shop", name, uid: "other" } };
  const outcome = reconcileDeployment({
    deployment: d,
    sets: [],
    setNamed: (n) => (n === name ? other : undefined),
    podsOf: () => [],
    now,
  });
  expect(statusOf(outcome)?.collisionCount).toBe(1);
  const [again] = run(makeDeployment({}, { collisionCount: 1 }), []).writes;
  expect(again?.kind === "create" ? again.object.metadata?.name : "").not.toBe(name);
});

test.each([
  [
    "surge first",
    [
      { image: "v1", size: 10 },
      { image: "v2", size: 0 },
    ],
    ["up v2 from 0 to 3"],
  ],
  [
    "then old ones go, as far as enough are available",
    [
      { image: "v1", size: 10 },
      { image: "v2", size: 3, available: 0 },
    ],
    ["down v1 from 10 to 8"],
  ],
  [
    "new ones that are available let more go",
    [
      { image: "v1", size: 8 },
      { image: "v2", size: 3 },
    ],
    ["up v2 from 3 to 5"],
  ],
  [
    "sick old ones go first",
    [
      { image: "v1", size: 10, available: 6 },
      { image: "v2", size: 3, available: 0 },
    ],
    ["down v1 from 10 to 8"],
  ],
  [
    "the last step",
    [
      { image: "v1", size: 2 },
      { image: "v2", size: 10 },
    ],
    ["down v1 from 2 to 0"],
  ],
  [
    "done",
    [
      { image: "v1", size: 0 },
      { image: "v2", size: 10 },
    ],
    [],
  ],
  [
    "several old ones, oldest first",
    [
      { image: "v0", size: 3 },
      { image: "v1", size: 5 },
      { image: "v2", size: 5 },
    ],
    ["down v0 from 3 to 0", "down v1 from 5 to 3"],
  ],
] as const)("rolling update: %s", (_, sets, want) => {
  serial = 0;
  expect(scalings(makeDeployment(), (sets as readonly SetOptions[]).map(makeSet))).toEqual(want);
});

test("Recreate waits for the last old pod", () => {
  const d = makeDeployment({ strategy: { type: "Recreate" } });
  expect(scalings(d, [makeSet({ image: "v1", size: 10 })])).toEqual(["down v1 from 10 to 0"]);
  const idle = [makeSet({ image: "v1", size: 0 })];
  expect(scalings(d, idle, [makePod("old", { going: true })])).toEqual([]);
  expect(scalings(d, idle, [makePod("old", { phase: "Succeeded" })])[0]).toMatch(/^up .* from 0 to 10$/);
});

test.each([
  ["one active set takes all", 4, [{ image: "v2", size: 10 }], { v2: 4 }],
  [
    "up, in proportion",
    20,
    [
      { image: "v1", size: 8 },
      { image: "v2", size: 5 },
    ],
    { v1: 15, v2: 10 },
  ],
  [
    "down, in proportion",
    5,
    [
      { image: "v1", size: 8 },
      { image: "v2", size: 5 },
    ],
    { v1: 4, v2: 3 },
  ],
  [
    "to nothing",
    0,
    [
      { image: "v1", size: 8 },
      { image: "v2", size: 5 },
    ],
    { v1: 0, v2: 0 },
  ],
] as const)("scaling in the middle: %s", (_, replicas, sets, want) => {
  serial = 0;
  const made = (sets as readonly SetOptions[]).map(makeSet);
  const fresh = made.find((s) => s.metadata?.name === "web-v2");
  const sizes = scaledSizes(
    makeDeployment({ replicas }),
    fresh,
    made.filter((s) => s !== fresh),
  );
  expect(Object.fromEntries([...sizes].map(([s, n]) => [s.metadata?.name?.slice(4), n]))).toEqual(want);
});

test("paused: sizes follow, templates do not", () => {
  const paused = makeDeployment(
    { paused: true, replicas: 12 },
    { conditions: [{ type: "Progressing", status: "True", reason: "NewReplicaSetAvailable" }] },
  );
  const outcome = run(paused, [makeSet({ image: "v1", size: 10 })]);
  expect(scalings(paused, [makeSet({ image: "v1", size: 10 })])).toEqual(["up v1 from 10 to 12"]);
  expect(printWrites(outcome.writes).filter((l) => l.startsWith("create"))).toEqual([]);
  expect(statusOf(outcome)?.conditions?.find((c) => c.type === "Progressing")?.reason).toBe("DeploymentPaused");
  const counts = { replicas: 10, updatedReplicas: 0, readyReplicas: 10, availableReplicas: 10 };
  const resumed = makeDeployment({}, { ...counts, conditions: [{ type: "Progressing", status: "Unknown", reason: "DeploymentPaused" }] });
  const next = statusOf(run(resumed, [makeSet({ image: "v1", size: 10 }), makeSet({ image: "v2", size: 0 })]));
  expect(next?.conditions?.find((c) => c.type === "Progressing")?.reason).toBe("DeploymentResumed");
});

test("the progress deadline", () => {
  const since = (lastUpdateTime: string) => ({ type: "Progressing", status: "True", reason: "ReplicaSetUpdated", lastUpdateTime });
  const stuck = { replicas: 13, updatedReplicas: 3, readyReplicas: 10, availableReplicas: 10 };
  const sets = [makeSet({ image: "v1", size: 10 }), makeSet({ image: "v2", size: 3, available: 0 })];
  const late = run(makeDeployment({}, { ...stuck, conditions: [since("2030-01-01T00:00:00Z")] }), sets);
  expect(statusOf(late)?.conditions?.find((c) => c.type === "Progressing")).toMatchObject({
    status: "False",
    reason: "ProgressDeadlineExceeded",
    message: `ReplicaSet "web-v2" has timed out progressing.`,
  });
  expect(run(makeDeployment({}, { ...stuck, conditions: [since("2030-01-01T00:05:00Z")] }), sets).againAfterMs).toBe(300_000);
});

test("a refusal is told before it is met again", () => {
  const outcome = run(makeDeployment(), [], [], "no quota");
  expect(printWrites(outcome.writes)[0]).toBe("patch deployments/status web");
  expect(statusOf(outcome)?.conditions?.find((c) => c.type === "Progressing")).toMatchObject({
    status: "False",
    reason: "ReplicaSetCreateError",
  });
});

test("old ReplicaSets beyond the limit go, oldest revision first, once all is done", () => {
  serial = 0;
  const old = [3, 1, 2].map((revision) => makeSet({ image: `v1.${revision}`, size: 0, revision }));
  const done = makeSet({ image: "v2", size: 10, revision: 4 });
  const lines = printWrites(run(makeDeployment({ revisionHistoryLimit: 1 }), [...old, done]).writes);
  expect(lines.filter((l) => l.startsWith("delete"))).toEqual(["delete replicasets web-v1.1", "delete replicasets web-v1.2"]);
});

test("an empty selector is refused", () => {
  expect(printWrites(run(makeDeployment({ selector: {} }), []).writes)[0]).toBe(
    "SelectingAll: This deployment is selecting all pods. A non-empty selector is required.",
  );
});

const worlds = fc.record({
  replicas: fc.integer({ min: 0, max: 12 }),
  maxSurge: fc.integer({ min: 0, max: 4 }),
  maxUnavailable: fc.integer({ min: 0, max: 4 }),
  old: fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 3 }),
  luck: fc.infiniteStream(fc.boolean()),
});

test("a rolling update never has too many or too few, and ends", () => {
  fc.assert(
    fc.property(worlds, ({ replicas, maxSurge, maxUnavailable, old, luck }) => {
      serial = 0;
      const d = makeDeployment({ replicas, strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge, maxUnavailable } } });
      const { surge, unavailable } = limitsOf(d);
      // It begins whole: old pods are what was asked for, all available.
      const share = old.length === 0 ? [] : old.map((_, i) => (i === 0 ? replicas : 0));
      let sets = share.map((size, i) => makeSet({ image: `v1.${i}`, size, desired: replicas, max: replicas + surge }));
      sets.push(makeSet({ image: "v2", size: old.length === 0 ? replicas : 0, desired: replicas, max: replicas + surge }));
      const total = () => sets.reduce((n, s) => n + (s.spec?.replicas ?? 0), 0);
      const available = () => sets.reduce((n, s) => n + (s.status?.availableReplicas ?? 0), 0);
      for (let step = 0; step < 200; step++) {
        const patches = flatWrites(run(d, sets).writes).filter((w) => w.kind === "patch" && w.of.plural === "replicasets");
        sets = sets.map((s) => {
          let next = s;
          for (const w of patches) {
            const size =
              w.kind === "patch" && w.at.name === s.metadata?.name
                ? (w.patch.body as { spec?: { replicas?: number } }).spec?.replicas
                : undefined;
            if (size === undefined) continue;
            const kept = Math.min(next.status?.availableReplicas ?? 0, size);
            next = { ...next, spec: { ...next.spec, replicas: size }, status: { ...next.status, replicas: size, availableReplicas: kept } };
          }
          return next;
        });
        expect(total()).toBeLessThanOrEqual(replicas + surge);
        expect(available()).toBeGreaterThanOrEqual(Math.min(replicas, replicas - unavailable));
        // Some of the pods that are there become available.
        sets = sets.map((s) => {
          const more = luck.next().value ? 1 : 0;
          const availableReplicas = Math.min(s.spec?.replicas ?? 0, (s.status?.availableReplicas ?? 0) + more);
          return { ...s, status: { ...s.status, replicas: s.spec?.replicas ?? 0, availableReplicas } };
        });
        const fresh = sets.at(-1);
        if (fresh?.status?.availableReplicas === replicas && total() === replicas) return;
      }
      expect(luck.next().value).toBe("it ended");
    }),
    { numRuns: 60 },
  );
});
