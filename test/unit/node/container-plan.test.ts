import { expect, test } from "vitest";
import type { Container, Pod } from "../../../src/api/types/core-v1.generated.ts";
import type { ContainerPlan } from "../../../src/node/container-plan.ts";
import type { Image } from "../../../src/node/images.ts";
import { compileOciSpec, defaultCapabilities } from "../../../src/node/oci-spec.ts";
import { compileContainer, compileSandbox } from "../../../src/node/pod-plan.ts";
import { compileProcess } from "../../../src/node/process-plan.ts";

const image: Image = {
  root: "host",
  files: { "/app": "/opt/app" },
  entrypoint: ["/app", "-v"],
  cmd: ["serve"],
  env: { PATH: "/bin" },
  workingDir: "/",
  user: "www",
};
function planOf(container: Partial<Container>, spec: Pod["spec"] = {}, changed: Partial<Image> = {}): ContainerPlan {
  const pod: Pod = {
    metadata: { name: "p", namespace: "shop", uid: "u" },
    spec: {
      volumes: [
        { name: "data", emptyDir: {} },
        { name: "conf", configMap: { name: "c" } },
      ],
      ...spec,
    },
  };
  return compileContainer(
    pod,
    { name: "c", image: "x", ...container },
    {
      image: { ...image, ...changed },
      attempt: 2,
      hostname: "p",
      services: [],
      sources: { configMap: () => undefined, secret: () => undefined },
      context: { nodeName: "n", hostIps: [], podIps: ["10.0.0.2"], allocatable: {} },
      volumes: new Map([
        ["data", "/v/data"],
        ["conf", "/v/conf"],
      ]),
      etc: { hosts: "/e/hosts", resolvConf: "/e/resolv.conf", hostname: "/e/hostname" },
      terminationLog: "/e/log",
      resolveUser: (name) => (name === "www" ? { uid: 33, gid: 34, groups: [35] } : undefined),
      subPath: (volume, path) => `${volume}/${path}`,
    },
  );
}

test.each<{ name: string; container: Partial<Container>; want: readonly string[] }>([
  { name: "neither: the image's", container: {}, want: ["/app", "-v", "serve"] },
  { name: "args replace cmd", container: { args: ["x"] }, want: ["/app", "-v", "x"] },
  { name: "command replaces both", container: { command: ["sh"] }, want: ["sh"] },
  { name: "both, expanded", container: { command: ["sh"], args: ["$(HOSTNAME)", "$$(A)"] }, want: ["sh", "p", "$(A)"] },
])("command and args: $name", ({ container, want }) => {
  expect(planOf(container).argv).toEqual(want);
});

test.each<{ name: string; container: Partial<Container>; spec?: Pod["spec"]; want: ContainerPlan["user"] }>([
  { name: "the image's user by name", container: {}, want: { uid: 33, gid: 34, groups: [35] } },
  {
    name: "the pod's",
    container: {},
    spec: { securityContext: { runAsUser: 7, runAsGroup: 8, fsGroup: 9, supplementalGroups: [10] } },
    want: { uid: 7, gid: 8, groups: [10, 9] },
  },
  {
    name: "the container's wins; its group is 0",
    container: { securityContext: { runAsUser: 5 } },
    spec: { securityContext: { runAsUser: 7 } },
    want: { uid: 5, gid: 0, groups: [] },
  },
])("user: $name", ({ container, spec, want }) => {
  expect(planOf(container, spec).user).toEqual(want);
});

test.each<{ name: string; make: () => ContainerPlan; message: string }>([
  { name: "a user that is not there", make: () => planOf({}, {}, { user: "nobody-here" }), message: "unable to find user nobody-here" },
  {
    name: "root where it may not be",
    make: () => planOf({ securityContext: { runAsNonRoot: true, runAsUser: 0 } }),
    message: "runAsNonRoot",
  },
  { name: "no command at all", make: () => planOf({}, {}, { entrypoint: [], cmd: [] }), message: "no command specified" },
  {
    name: "a volume that is not in the pod",
    make: () => planOf({ volumeMounts: [{ name: "no", mountPath: "/x" }] }),
    message: 'volume "no"',
  },
  {
    name: "a subPath that climbs",
    make: () => planOf({ volumeMounts: [{ name: "data", mountPath: "/x", subPath: "a/../../b" }] }),
    message: "subPath",
  },
])("refused: $name", ({ make, message }) => {
  expect(make).toThrow(message);
});

test("mounts: outer paths first, the API's volumes read-only, own ones over the built-in", () => {
  const { mounts } = planOf({
    volumeMounts: [
      { name: "data", mountPath: "/srv/deep/er", subPathExpr: "$(HOSTNAME)" },
      { name: "conf", mountPath: "/srv" },
      { name: "data", mountPath: "/etc/hosts", subPath: "hosts", readOnly: true },
    ],
  });
  expect(mounts.map((m) => `${m.path} ${m.source}${m.readOnly ? " ro" : ""}`)).toEqual([
    "/app /opt/app ro",
    "/srv /v/conf ro",
    "/etc/resolv.conf /e/resolv.conf",
    "/etc/hostname /e/hostname",
    "/dev/termination-log /e/log",
    "/etc/hosts /v/data/hosts ro",
    "/srv/deep/er /v/data/p",
  ]);
});

interface SpecView {
  readonly process: { readonly capabilities: { readonly bounding: readonly string[] }; readonly noNewPrivileges: boolean };
  readonly linux: {
    readonly namespaces: readonly { readonly type: string }[];
    readonly maskedPaths: readonly string[];
    readonly resources?: object;
    readonly sysctl: object;
  };
}
const specOf = (
  container: Partial<Container>,
  places: { netns?: string; cgroupsPath?: string } = { netns: "/n", cgroupsPath: "/g" },
): SpecView =>
  compileOciSpec(planOf(container), { rootFolder: "root", netns: places.netns, cgroupsPath: places.cgroupsPath }) as unknown as SpecView;

test.each<{ name: string; container: Partial<Container>; has?: readonly string[]; lacks?: readonly string[] }>([
  { name: "containerd's by default", container: {}, has: defaultCapabilities },
  {
    name: "dropped and added, with or without CAP_",
    container: { securityContext: { capabilities: { drop: ["NET_RAW"], add: ["CAP_NET_ADMIN"] } } },
    has: ["CAP_NET_ADMIN", "CAP_CHOWN"],
    lacks: ["CAP_NET_RAW"],
  },
  {
    name: "all dropped, one added",
    container: { securityContext: { capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] } } },
    has: ["CAP_NET_BIND_SERVICE"],
    lacks: ["CAP_CHOWN"],
  },
  { name: "privileged has all", container: { securityContext: { privileged: true } }, has: ["CAP_SYS_ADMIN", "CAP_SYS_MODULE"] },
])("capabilities: $name", ({ container, has = [], lacks = [] }) => {
  const { bounding } = specOf(container).process.capabilities;
  expect(bounding).toEqual(expect.arrayContaining([...has]));
  for (const name of lacks) expect(bounding).not.toContain(name);
});

test("without a device cgroup nobody may make device files", () => {
  expect(specOf({}, { netns: "/n" }).process.capabilities.bounding).not.toContain("CAP_MKNOD");
  expect(specOf({}, { netns: "/n" }).linux.resources).toBeUndefined();
});

test("no new privileges, masked paths, limits and namespaces", () => {
  expect(specOf({}).process.noNewPrivileges).toBe(true);
  expect(specOf({ securityContext: { allowPrivilegeEscalation: true } }).process.noNewPrivileges).toBe(false);
  expect(specOf({}).linux.maskedPaths).toContain("/proc/kcore");
  expect(specOf({ securityContext: { privileged: true } }).linux.maskedPaths).toEqual([]);
  expect(specOf({ resources: { limits: { cpu: "500m", memory: "64Mi" }, requests: { cpu: "250m" } } }).linux.resources).toMatchObject({
    cpu: { shares: 256, period: 100_000, quota: 50_000 },
    memory: { limit: 64 * 2 ** 20 },
  });
  expect(specOf({}).linux.namespaces.map((n) => n.type)).toEqual(["pid", "mount", "uts", "ipc", "network"]);
  // On the node's own network the node's settings are not the pod's to change.
  expect(specOf({}, {}).linux).toMatchObject({ sysctl: {} });
});

test("host ports are of containers and sidecars, and none on the node's own network", () => {
  const ports = [{ containerPort: 80, hostPort: 8080, hostIP: "192.0.2.1" }, { containerPort: 81 }];
  const pod: Pod = { metadata: { uid: "u" }, spec: { containers: [{ name: "a", ports }], initContainers: [{ name: "i", ports }] } };
  expect(compileSandbox(pod).hostPorts).toEqual([{ hostIp: "192.0.2.1", hostPort: 8080, containerPort: 80, protocol: "TCP" }]);
  expect(compileSandbox({ ...pod, spec: { ...pod.spec, hostNetwork: true } }).hostPorts).toEqual([]);
});

test("a plain process finds what would be mounted where its words say", () => {
  const plan = planOf({
    command: ["/app", "--config=/etc/conf/a.yaml", "/etc/confusing", "/data"],
    env: [{ name: "CERT", value: "/etc/conf/tls.crt" }],
    volumeMounts: [
      { name: "conf", mountPath: "/etc/conf" },
      { name: "data", mountPath: "/data" },
    ],
    workingDir: "/data/x",
  });
  const compiled = compileProcess(plan, { POD_IP: "127.64.0.2" });
  expect(compiled.argv).toEqual(["/opt/app", "--config=/v/conf/a.yaml", "/etc/confusing", "/v/data"]);
  expect(compiled).toMatchObject({ env: { CERT: "/v/conf/tls.crt", POD_IP: "127.64.0.2", PATH: "/bin" }, workingDir: "/v/data/x" });
});
