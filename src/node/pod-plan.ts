import { join } from "node:path";
import type { Container, Pod, Service } from "../api/types/core-v1.generated.ts";
import { type Ip, parseIp } from "../base/ip.ts";
import type { ContainerMount, ContainerPlan, ContainerUser, HostPort, SandboxPlan } from "./container-plan.ts";
import type { DownwardContext } from "./downward.ts";
import { NodeError } from "./errors.ts";
import { containerPaths, type Image } from "./images.ts";
import { containerEnv, expandVariables, type PodSources } from "./pod-env.ts";
import { parseQuantity } from "./quantity.ts";

/** All that the plan of one container depends on. */
export interface ContainerGiven {
  readonly image: Image;
  readonly attempt: number;
  readonly hostname: string;
  readonly services: readonly Service[];
  /** Where a Service's port is served, when not at itself. */
  readonly servedPort?: ((port: number) => number) | undefined;
  readonly sources: PodSources;
  readonly context: DownwardContext;
  /** Volume name → the folder or file that was laid for it. */
  readonly volumes: ReadonlyMap<string, string>;
  /** The pod's own /etc/hosts and /etc/resolv.conf. */
  readonly etc: { readonly hosts: string; readonly resolvConf: string; readonly hostname: string };
  /** Where the container's termination message is written on this machine. */
  readonly terminationLog: string;
  /** The user that the image's own name of a user stands for. */
  resolveUser(name: string): ContainerUser | undefined;
  /** The place of a subPath in a volume. */
  subPath(volume: string, path: string): string;
}

// What the kernel has per namespace and containers may rely on: binding any port needs no capability, as containerd sets it.
const podSysctls: Readonly<Record<string, string>> = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
};

export function compileSandbox(pod: Pod): SandboxPlan {
  return {
    podUid: pod.metadata?.uid ?? "",
    namespace: pod.metadata?.namespace ?? "default",
    name: pod.metadata?.name ?? "",
    hostNetwork: pod.spec?.hostNetwork === true,
    hostPorts: pod.spec?.hostNetwork === true ? [] : hostPortsOf(pod),
  };
}

/** Throws a `pod-config` NodeError when the container refers to what does not exist. */
export function compileContainer(pod: Pod, container: Container, given: ContainerGiven): ContainerPlan {
  const { image } = given;
  const spec = pod.spec ?? {};
  const security = container.securityContext ?? {};
  const env = containerEnv(pod, container, { ...given, imageEnv: { ...image.env, ...identity(pod, given), HOSTNAME: given.hostname } });
  const expand = (text: string): string => expandVariables(text, (name) => env[name]);
  // A command replaces the image's entrypoint and cmd; args alone replace its cmd.
  const command = container.command ?? [];
  const args = container.args ?? [];
  const argv =
    command.length > 0 ? [...command, ...args].map(expand) : [...image.entrypoint, ...(args.length > 0 ? args.map(expand) : image.cmd)];
  if (argv.length === 0) throw new NodeError("pod-config", `no command specified for image "${container.image ?? ""}"`);
  return {
    podUid: pod.metadata?.uid ?? "",
    name: container.name,
    attempt: given.attempt,
    root: image.root,
    argv,
    env,
    workingDir: container.workingDir ?? image.workingDir,
    user: userOf(pod, container, given),
    hostname: given.hostname,
    mounts: mountsOf(pod, container, given, expand),
    readOnlyRoot: security.readOnlyRootFilesystem === true,
    privileged: security.privileged === true,
    allowPrivilegeEscalation: security.allowPrivilegeEscalation === true,
    addCapabilities: security.capabilities?.add ?? [],
    dropCapabilities: security.capabilities?.drop ?? [],
    sysctls: { ...podSysctls, ...Object.fromEntries((spec.securityContext?.sysctls ?? []).map((s) => [s.name, s.value])) },
    limits: limitsOf(container),
    hostNetwork: spec.hostNetwork === true,
    hostPid: spec.hostPID === true,
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
  };
}

function limitsOf(container: Container): ContainerPlan["limits"] {
  const { limits = {}, requests = {} } = container.resources ?? {};
  const cpu = limits["cpu"] === undefined ? undefined : parseQuantity(limits["cpu"]);
  const memory = limits["memory"] === undefined ? undefined : parseQuantity(limits["memory"]);
  const request = parseQuantity(requests["cpu"] ?? limits["cpu"] ?? "");
  return {
    ...(cpu === undefined ? {} : { cpuMillis: Math.ceil(cpu * 1000) }),
    ...(memory === undefined ? {} : { memoryBytes: Math.ceil(memory) }),
    ...(request === undefined ? {} : { cpuRequestMillis: Math.ceil(request * 1000) }),
  };
}

function userOf(pod: Pod, container: Container, given: ContainerGiven): ContainerUser {
  const ofPod = pod.spec?.securityContext ?? {};
  const ofContainer = container.securityContext ?? {};
  const asked = ofContainer.runAsUser ?? ofPod.runAsUser;
  const named = asked === undefined ? given.resolveUser(given.image.user) : undefined;
  if (asked === undefined && named === undefined) {
    throw new NodeError("pod-config", `unable to find user ${given.image.user}: no matching entries in passwd file`);
  }
  const uid = asked ?? named?.uid ?? 0;
  const gid = ofContainer.runAsGroup ?? ofPod.runAsGroup ?? (asked === undefined ? (named?.gid ?? 0) : 0);
  if ((ofContainer.runAsNonRoot ?? ofPod.runAsNonRoot) === true && uid === 0) {
    throw new NodeError("pod-config", "container has runAsNonRoot and image will run as root");
  }
  const groups = [...(named?.groups ?? []), ...(ofPod.supplementalGroups ?? []), ...(ofPod.fsGroup === undefined ? [] : [ofPod.fsGroup])];
  return { uid, gid, groups: [...new Set(groups)] };
}

function mountsOf(pod: Pod, container: Container, given: ContainerGiven, expand: (text: string) => string): readonly ContainerMount[] {
  const mounts: ContainerMount[] = [];
  for (const [path, source] of Object.entries(given.image.files)) mounts.push({ source, path, readOnly: true });
  mounts.push(
    { source: given.etc.hosts, path: "/etc/hosts", readOnly: false },
    { source: given.etc.resolvConf, path: "/etc/resolv.conf", readOnly: false },
    { source: given.etc.hostname, path: "/etc/hostname", readOnly: false },
    { source: given.terminationLog, path: container.terminationMessagePath ?? "/dev/termination-log", readOnly: false },
  );
  for (const mount of container.volumeMounts ?? []) {
    const volume = given.volumes.get(mount.name);
    if (volume === undefined)
      throw new NodeError("pod-config", `volume "${mount.name}" of container "${container.name}" is not in the pod`);
    const subPath = mount.subPathExpr === undefined ? (mount.subPath ?? "") : expand(mount.subPathExpr);
    if (subPath.startsWith("/") || subPath.split("/").includes("..")) {
      throw new NodeError("pod-config", `subPath "${subPath}" must be a relative path within the volume`);
    }
    const writable = (pod.spec?.volumes ?? []).find((v) => v.name === mount.name);
    const files = writable?.configMap ?? writable?.secret ?? writable?.projected ?? writable?.downwardAPI;
    mounts.push({
      source: subPath === "" ? volume : given.subPath(volume, subPath),
      path: join("/", mount.mountPath),
      // Volumes whose contents the API owns are read-only, whatever the mount says.
      readOnly: mount.readOnly === true || files !== undefined,
    });
  }
  // Mounts replace what their parents show: outer paths first, among the built-in ones too.
  const over = new Set(mounts.slice(Object.keys(given.image.files).length + 4).map((m) => m.path));
  const kept = mounts.filter((m, i) => i >= Object.keys(given.image.files).length + 4 || !over.has(m.path));
  return kept
    .map((m, i) => ({ m, i }))
    .sort((a, b) => depth(a.m.path) - depth(b.m.path) || a.i - b.i)
    .map(({ m }) => m);
}

function depth(path: string): number {
  return path.split("/").filter((part) => part !== "").length;
}

function hostPortsOf(pod: Pod): readonly HostPort[] {
  const all = [...(pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always"), ...(pod.spec?.containers ?? [])];
  return all.flatMap((c) =>
    (c.ports ?? []).flatMap((port): HostPort[] => {
      if (port.hostPort === undefined || port.hostPort === 0) return [];
      const hostIp: Ip | undefined = port.hostIP === undefined || port.hostIP === "" ? undefined : parseIp(port.hostIP);
      const protocol = port.protocol === "UDP" ? "UDP" : port.protocol === "SCTP" ? "SCTP" : "TCP";
      return [{ ...(hostIp === undefined ? {} : { hostIp }), hostPort: port.hostPort, containerPort: port.containerPort, protocol }];
    }),
  );
}

// The built-in images say who they are without being told by the manifest.
function identity(pod: Pod, given: ContainerGiven): Readonly<Record<string, string>> {
  if (given.image.files[containerPaths.node] === undefined) return {};
  return {
    POD_NAME: pod.metadata?.name ?? "",
    POD_NAMESPACE: pod.metadata?.namespace ?? "default",
    NODE_NAME: given.context.nodeName,
    POD_IP: given.context.podIps[0] ?? "",
  };
}
