import fc from "fast-check";
import { expect, test } from "vitest";
import type { ControllerRevision, StatefulSet, StatefulSetSpec } from "../../../src/api/types/apps-v1.generated.ts";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import { reconcileStatefulSet } from "../../../src/controllers/statefulset/reconcile.ts";
import { flatWrites, makePod, printWrites } from "../../support/workload-builders.ts";

const now = Date.parse("2030-01-01T01:00:00Z");
const template = (image: string) => ({ metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "main", image }] } });
const makeSet = (spec: Partial<StatefulSetSpec> = {}, status?: Partial<StatefulSet["status"]>): StatefulSet => ({
  metadata: { namespace: "shop", name: "db", uid: "set", generation: 1 },
  spec: { replicas: 3, serviceName: "db", selector: { matchLabels: { app: "web" } }, template: template("v2"), ...spec },
  status: { replicas: 0, availableReplicas: 0, currentRevision: "db-old", ...status },
});
const owner = { apiVersion: "apps/v1", kind: "StatefulSet", name: "db", uid: "set", controller: true };
const revision = (name: string, image: string, n: number): ControllerRevision => ({
  metadata: { namespace: "shop", name, labels: { app: "web" }, ownerReferences: [owner] },
  data: { spec: { template: { ...template(image), $patch: "replace" } } },
  revision: n,
});
const revisions = [revision("db-old", "v1", 1), revision("db-new", "v2", 2)];

type State = "well" | "sick" | "going" | "failed";
/** `0 new well`: a member by ordinal, revision and state. */
function member(text: string): Pod {
  const [ordinal, rev, state = "well"] = text.split(" ") as [string, string, State | undefined];
  const name = `db-${ordinal}`;
  const labels = {
    app: "web",
    "controller-revision-hash": `db-${rev}`,
    "statefulset.kubernetes.io/pod-name": name,
    "apps.kubernetes.io/pod-index": ordinal,
  };
  return makePod(name, {
    ready: state === "well",
    phase: state === "failed" ? "Failed" : "Running",
    meta: { namespace: "shop", name, uid: name, labels, ...(state === "going" ? { deletionTimestamp: "2030-01-01T00:00:00Z" } : {}) },
  });
}
const steps = (set: StatefulSet, members: readonly string[]): readonly string[] =>
  printWrites(
    reconcileStatefulSet({
      set,
      pods: members.map(member),
      revisions,
      revisionNamed: (n) => revisions.find((r) => r.metadata?.name === n),
      hasClaim: () => false,
      now,
    }).writes,
  )
    .filter((l) => /^(create|delete) pods/.test(l))
    .map((l) => l.replace(" pods db-", " "));

const parallel = { podManagementPolicy: "Parallel" };
test.each([
  ["the first", {}, [], ["create 0"]],
  ["the next when the one before is well", {}, ["0 new"], ["create 1"]],
  ["none while the one before is sick", {}, ["0 new sick"], []],
  ["a hole before what follows", {}, ["0 new", "2 new"], ["create 1"]],
  ["all at once", parallel, [], ["create 0", "create 1", "create 2"]],
  ["a failed one is made anew", {}, ["0 new", "1 new failed", "2 new"], ["delete 1"]],
  ["one that is going is waited for", {}, ["0 new", "1 new going", "2 new"], []],
  ["from another first ordinal", { ordinals: { start: 5 } }, ["5 new"], ["create 6"]],
  ["down from the end", { replicas: 1 }, ["0 new", "1 new", "2 new"], ["delete 2"]],
  ["down, one at a time", { replicas: 1 }, ["0 new", "1 new", "2 new going"], []],
  ["down from the end, whoever is sick", { replicas: 1 }, ["0 new", "1 new sick", "2 new"], ["delete 2"]],
  ["down waits for a sick one behind another sick one", { replicas: 0 }, ["0 new sick", "1 new sick", "2 new sick"], []],
  ["down, the only sick one may go", { replicas: 0 }, ["0 new", "1 new", "2 new sick"], ["delete 2"]],
  ["down at once, whoever is sick", { replicas: 0, ...parallel }, ["0 new sick", "1 new sick"], ["delete 1", "delete 0"]],
  ["down only while those that stay are well", { replicas: 1 }, ["0 new sick", "1 new", "2 new"], []],
  ["down at once", { replicas: 0, ...parallel }, ["0 new", "1 new", "2 new"], ["delete 2", "delete 1", "delete 0"]],
  ["update from the end", {}, ["0 old", "1 old", "2 old"], ["delete 2"]],
  ["update waits for the one before", {}, ["0 old", "1 old", "2 new sick"], []],
  ["update goes on", {}, ["0 old", "1 old", "2 new"], ["delete 1"]],
  [
    "update to the partition",
    { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } } },
    ["0 old", "1 old", "2 new"],
    [],
  ],
  ["no update", { updateStrategy: { type: "OnDelete" } }, ["0 old", "1 old", "2 old"], []],
  ["parallel update, still one at a time: while one is not there", parallel, ["0 old", "1 old"], ["create 2"]],
  ["parallel update, while one is sick", parallel, ["0 old", "1 old", "2 new sick"], []],
  ["parallel update, sick ones of the old template go", parallel, ["0 old", "1 old sick", "2 new"], ["delete 1"]],
  [
    "parallel update, two at a time",
    { ...parallel, updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 2 } } },
    ["0 old", "1 old", "2 old"],
    ["delete 2", "delete 1"],
  ],
] as const)("%s", (_, spec, members, want) => {
  expect(steps(makeSet(spec), members)).toEqual(want);
});

test("a new member below the partition has the old template, above it the new one", () => {
  const set = makeSet({ ...parallel, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } });
  const { writes } = reconcileStatefulSet({ set, pods: [], revisions, revisionNamed: () => undefined, hasClaim: () => false, now });
  const made = flatWrites(writes).flatMap((w) => (w.kind === "create" && w.of.plural === "pods" ? [w.object as Pod] : []));
  expect(made.map((p) => p.spec?.containers?.[0]?.image)).toEqual(["v1", "v2", "v2"]);
  expect(made[0]?.spec).not.toHaveProperty("$patch");
});

test("claims are made before their pod, and kept", () => {
  const set = makeSet({ replicas: 1, volumeClaimTemplates: [{ metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"] } }] });
  const run = (has: boolean) =>
    reconcileStatefulSet({ set, pods: [], revisions, revisionNamed: () => undefined, hasClaim: () => has, now }).writes;
  expect(printWrites(run(false)).filter((l) => l.startsWith("create"))).toEqual([
    "create persistentvolumeclaims data-db-0",
    "create pods db-0",
  ]);
  const pod = flatWrites(run(true)).find((w) => w.kind === "create");
  expect(pod?.kind === "create" ? (pod.object as Pod).spec?.volumes : undefined).toEqual([
    { name: "data", persistentVolumeClaim: { claimName: "data-db-0" } },
  ]);
});

test("coming back to an older template makes its revision the newest", () => {
  const set = makeSet({ template: template("v1") });
  const { writes } = reconcileStatefulSet({ set, pods: [], revisions, revisionNamed: () => undefined, hasClaim: () => false, now });
  const update = writes.find((w) => w.kind === "update");
  expect(update?.kind === "update" ? [update.object.metadata?.name, (update.object as ControllerRevision).revision] : []).toEqual([
    "db-old",
    3,
  ]);
});

test("an update never has more than one missing that was not missing before, and ends", () => {
  const states = fc.constantFrom("Parallel", "OrderedReady");
  fc.assert(
    fc.property(states, fc.infiniteStream(fc.boolean()), (podManagementPolicy, luck) => {
      const set = makeSet({ podManagementPolicy, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } } });
      let members = ["0 old well", "1 old well", "2 old well"];
      for (let step = 0; step < 200; step++) {
        for (const line of steps(set, members)) {
          const [verb, ordinal] = line.split(" ");
          if (verb === "create") members.push(`${ordinal} new sick`);
          else members = members.map((m) => (m.startsWith(`${ordinal} `) ? m.replace(/\w+$/, "going") : m));
        }
        expect(members.filter((m) => m.endsWith("well")).length).toBeGreaterThanOrEqual(2);
        members = members.flatMap((m) => {
          if (!luck.next().value) return [m];
          return m.endsWith("going") ? [] : [m.replace(/\w+$/, "well")];
        });
        if (members.length === 3 && members.every((m) => m.endsWith("new well"))) return;
      }
      expect(members).toBe("all new and well");
    }),
    { numRuns: 50 },
  );
});
