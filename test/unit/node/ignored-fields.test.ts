import { expect, test } from "vitest";
import type { PodSpec } from "../../../src/api/types/core-v1.generated.ts";
import { ignoredFields } from "../../../src/node/ignored-fields.ts";

const c = { name: "c" };
const localhost = { type: "Localhost", localhostProfile: "p" };
test.each<{ readonly spec: PodSpec; readonly want: readonly string[] }>([
  { spec: { containers: [c] }, want: [] },
  { spec: { containers: [c], shareProcessNamespace: false, hostUsers: true, hostPID: true }, want: [] },
  { spec: { containers: [c], shareProcessNamespace: true, hostIPC: true }, want: ["spec.shareProcessNamespace", "spec.hostIPC"] },
  { spec: { containers: [c], hostUsers: false, resourceClaims: [{ name: "r" }] }, want: ["spec.hostUsers", "spec.resourceClaims"] },
  { spec: { containers: [c], securityContext: { seccompProfile: { type: "RuntimeDefault" } } }, want: [] },
  { spec: { containers: [c], securityContext: { seccompProfile: localhost } }, want: ["spec.securityContext.seccompProfile"] },
  {
    spec: {
      initContainers: [{ ...c, securityContext: { seLinuxOptions: { level: "s0" } } }],
      containers: [c, { ...c, volumeMounts: [{ name: "v", mountPath: "/v", mountPropagation: "Bidirectional" }] }],
    },
    want: ["spec.initContainers[0].securityContext.seLinuxOptions", "spec.containers[1].volumeMounts.mountPropagation"],
  },
])("what a node does not do for a pod: $want", ({ spec, want }) => {
  expect(ignoredFields({ spec })).toEqual(want);
});
