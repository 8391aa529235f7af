import { expect, test } from "vitest";
import type { OwnerReference } from "../../../src/api/types/meta-v1.generated.ts";
import { resources } from "../../../src/client/resources.ts";
import {
  type Dependent,
  type OwnerState,
  reconcileDependent,
  reconcileForeground,
  reconcileOrphan,
} from "../../../src/controllers/garbage-collector/reconcile.ts";
import { flatWrites, printWrites } from "../../support/workload-builders.ts";

const ref = (uid: string, blockOwnerDeletion = true): OwnerReference => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  name: uid,
  uid,
  blockOwnerDeletion,
});
function dependent(
  name: string,
  owners: Readonly<Record<string, OwnerState>>,
  o: { going?: boolean; finalizers?: string[]; hasDependents?: boolean; mayBeRing?: boolean; block?: boolean } = {},
): Dependent {
  return {
    of: resources.secrets,
    object: {
      metadata: {
        namespace: "shop",
        name,
        uid: name,
        resourceVersion: "5",
        ownerReferences: Object.keys(owners).map((uid) => ref(uid, o.block)),
        ...(o.going === true ? { deletionTimestamp: "2030-01-01T00:00:00Z" } : {}),
        ...(o.finalizers === undefined ? {} : { finalizers: o.finalizers }),
      },
    },
    owners: Object.values(owners),
    hasDependents: o.hasDependents ?? o.mayBeRing ?? false,
    mayBeRing: o.mayBeRing ?? false,
  };
}

test.each([
  ["lives with its owner", dependent("x", { a: "solid" }), []],
  ["goes with its last owner", dependent("x", { a: "absent" }), ["delete secrets x Background"]],
  ["forgets an absent owner beside one that lives", dependent("x", { a: "absent", b: "solid" }), ["patch secrets x"]],
  ["forgets a waiting owner beside one that lives", dependent("x", { a: "waiting", b: "solid" }), ["patch secrets x"]],
  ["goes before an owner that waits", dependent("x", { a: "waiting" }), ["delete secrets x Background"]],
  [
    "goes with all that is below before an owner that waits",
    dependent("x", { a: "waiting" }, { hasDependents: true }),
    ["delete secrets x Foreground"],
  ],
  ["in a ring blocks nobody before it goes", dependent("x", { a: "waiting" }, { mayBeRing: true }), ["patch secrets x"]],
  ["in a ring goes then", dependent("x", { a: "waiting" }, { mayBeRing: true, block: false }), ["delete secrets x Foreground"]],
  [
    "goes in the foreground when it says so",
    dependent("x", { a: "absent" }, { finalizers: ["foregroundDeletion"] }),
    ["delete secrets x Foreground"],
  ],
  ["leaves its own behind when it says so", dependent("x", { a: "absent" }, { finalizers: ["orphan"] }), ["delete secrets x Orphan"]],
  ["stays while it is not known", dependent("x", { a: "absent", b: "unknown" }), []],
  ["is left alone while it is going", dependent("x", { a: "absent" }, { going: true }), []],
  ["without owners is nobody's business", dependent("x", {}), []],
] as const)("a dependent %s", (_, d, want) => {
  expect(printWrites(reconcileDependent(d).writes)).toEqual(want);
});

const owner = (finalizer: string) => ({
  of: resources.configMaps,
  object: {
    metadata: {
      namespace: "shop",
      name: "a",
      uid: "a",
      resourceVersion: "9",
      deletionTimestamp: "2030-01-01T00:00:00Z",
      finalizers: [finalizer, "other/one"],
    },
  },
});

test("an owner deleted in the foreground waits for those that block it", () => {
  const run = (...dependents: Dependent[]) => reconcileForeground(owner("foregroundDeletion"), dependents).writes;
  expect(printWrites(run(dependent("x", { a: "waiting" }), dependent("y", { a: "waiting" }, { going: true })))).toEqual([
    "delete secrets x Background",
  ]);
  expect(run(dependent("y", { a: "waiting" }, { going: true }))).toEqual([]);
  const [done] = run(dependent("free", { a: "waiting" }, { block: false }));
  expect(done?.kind === "patch" ? done.patch.body : undefined).toEqual({
    metadata: { uid: "a", resourceVersion: "9", finalizers: ["other/one"] },
  });
});

test("an owner that leaves its dependents behind is forgotten by them first", () => {
  const writes = flatWrites(
    reconcileOrphan(owner("orphan"), [dependent("x", { a: "solid" }), dependent("y", { a: "solid", b: "solid" })]).writes,
  );
  expect(writes.map((w) => (w.kind === "patch" ? [w.at.name, w.patch.body] : []))).toEqual([
    ["x", { metadata: { uid: "x", resourceVersion: "5", ownerReferences: null } }],
    ["y", { metadata: { uid: "y", resourceVersion: "5", ownerReferences: [ref("b")] } }],
    ["a", { metadata: { uid: "a", resourceVersion: "9", finalizers: ["other/one"] } }],
  ]);
});
