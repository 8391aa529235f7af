import { expect, test } from "vitest";
import { isNodeError, NodeError, nodeErrorCodes } from "../../../src/node/errors.ts";
import { findUser } from "../../../src/node/node-machine.ts";
import { compileNode } from "../../../src/node/node-status.ts";
import { parseQuantity } from "../../../src/node/quantity.ts";
import { exitStatus } from "../../../src/node/stream-channels.ts";

const info = {
  machineID: "",
  systemUUID: "",
  bootID: "",
  kernelVersion: "6",
  osImage: "x",
  containerRuntimeVersion: "crun://1",
  kubeletVersion: "v1",
  kubeProxyVersion: "v1",
  operatingSystem: "linux",
  architecture: "amd64",
};
const facts = { name: "n1", ips: ["192.0.2.1", "fd00::1"], labels: { zone: "a" }, capacity: { cpu: "2" }, info, kubeletPort: 10250 };

test("a Node says where it is and how it is", () => {
  const now = Date.UTC(2030, 0, 1);
  const node = compileNode(facts, now);
  expect(node.metadata?.labels).toEqual({
    "kubernetes.io/hostname": "n1",
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    zone: "a",
  });
  expect(node.status).toMatchObject({
    addresses: [
      { type: "InternalIP", address: "192.0.2.1" },
      { type: "InternalIP", address: "fd00::1" },
      { type: "Hostname", address: "n1" },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
    allocatable: { cpu: "2" },
  });
  const later = compileNode(facts, now + 60_000, {
    status: {
      conditions: [
        { type: "NetworkUnavailable", status: "False" },
        { type: "Ready", status: "True", lastTransitionTime: "2029-01-01T00:00:00Z" },
      ],
    },
  });
  expect(later.status?.conditions?.map((c) => `${c.type} ${c.status}`)).toEqual([
    "MemoryPressure False",
    "DiskPressure False",
    "PIDPressure False",
    "Ready True",
  ]);
  expect(later.status?.conditions?.at(-1)).toMatchObject({
    lastTransitionTime: "2029-01-01T00:00:00Z",
    lastHeartbeatTime: "2030-01-01T00:01:00Z",
  });
});

const passwd = "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/:/bin/false";
const group = "staff:x:50:www,root\nweb:x:34:";
test.each([
  ["0", { uid: 0, gid: 0, groups: [50] }],
  ["www", { uid: 33, gid: 34, groups: [50] }],
  ["www:staff", { uid: 33, gid: 50, groups: [] }],
  ["1000", { uid: 1000, gid: 0, groups: [] }],
  ["1000:2000", { uid: 1000, gid: 2000, groups: [] }],
  ["nobody", undefined],
  ["www:nogroup", undefined],
])("user %s", (name, want) => {
  expect(findUser(name, passwd, group)).toEqual(want);
});

test.each([
  ["100m", 0.1],
  ["64Mi", 67_108_864],
  ["2", 2],
  ["1e3", 1000],
  ["x", undefined],
])("quantity %s", (text, want) => {
  expect(parseQuantity(text)).toBe(want);
});

test("an exit is told as a Status", () => {
  expect(exitStatus(0)).toEqual({ metadata: {}, status: "Success" });
  expect(exitStatus(3)).toMatchObject({
    status: "Failure",
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: "3" }] },
  });
});

test("errors have a code that callers ask for", () => {
  expect(Object.keys(nodeErrorCodes)).toHaveLength(7);
  const error = new NodeError("pod-config", "x", new Error("cause"));
  expect([isNodeError(error), isNodeError(error, "pod-config"), isNodeError(error, "images-file"), isNodeError(new Error("x"))]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(error.cause).toBeInstanceOf(Error);
});
