import type { ContainerPlan } from "./container-plan.ts";

/** What the container's namespaces join, and where its cgroup is. */
export interface OciPlaces {
  readonly rootFolder: string;
  /** A path to a network namespace; absent: the node's own. */
  readonly netns: string | undefined;
  /** Absent: no cgroups on this machine. */
  readonly cgroupsPath: string | undefined;
}

/** The part of the OCI runtime specification that is used here (opencontainers/runtime-spec, config.md and config-linux.md). */
export interface OciSpec {
  readonly ociVersion: string;
  readonly process: object;
  readonly root: object;
  readonly hostname: string;
  readonly mounts: readonly OciMount[];
  readonly linux: object;
}

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** containerd's default set. Without a device cgroup CAP_MKNOD would open the machine's disks, so it is left out there. */
export const defaultCapabilities: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

// linux/capability.h, in the order of their numbers.
const allCapabilities: readonly string[] = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST " +
  "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE " +
  "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM " +
  "BLOCK_SUSPEND AUDIT_READ"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

const maskedPaths: readonly string[] = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const cpuPeriodMicros = 100_000;

/** The `config.json` of a bundle. */
export function compileOciSpec(plan: ContainerPlan, places: OciPlaces): OciSpec {
  const capabilities = capabilitiesOf(plan, places.cgroupsPath !== undefined);
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: plan.tty,
      user: { uid: plan.user.uid, gid: plan.user.gid, additionalGids: plan.user.groups },
      args: plan.argv,
      env: Object.entries(plan.env).map(([name, value]) => `${name}=${value}`),
      cwd: plan.workingDir,
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: !plan.privileged && !plan.allowPrivilegeEscalation,
    },
    root: { path: places.rootFolder, readonly: plan.readOnlyRoot },
    hostname: plan.hostname,
    mounts: [...systemMounts(plan.privileged), ...plan.mounts.map((m) => bindMount(m.source, m.path, m.readOnly))],
    linux: {
      namespaces: [
        ...(plan.hostPid ? [] : [{ type: "pid" }]),
        { type: "mount" },
        { type: "uts" },
        { type: "ipc" },
        ...(places.netns === undefined ? [] : [{ type: "network", path: places.netns }]),
      ],
      // A pod on its node's network has the node's settings.
      sysctl: places.netns === undefined ? {} : plan.sysctls,
      maskedPaths: plan.privileged ? [] : maskedPaths,
      readonlyPaths: plan.privileged ? [] : readonlyPaths,
      rootfsPropagation: "rslave",
      ...(places.cgroupsPath === undefined ? {} : { cgroupsPath: places.cgroupsPath, resources: resourcesOf(plan) }),
    },
  };
}

function systemMounts(privileged: boolean): readonly OciMount[] {
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/sys",
      type: "sysfs",
      source: "sysfs",
      options: ["nosuid", "noexec", "nodev", ...(privileged ? [] : ["ro"])],
    },
  ];
}

function bindMount(source: string, destination: string, readOnly: boolean): OciMount {
  return { destination, type: "bind", source, options: ["rbind", "rprivate", readOnly ? "ro" : "rw"] };
}

function capabilitiesOf(plan: ContainerPlan, deviceCgroup: boolean): readonly string[] {
  if (plan.privileged) return allCapabilities;
  const full = (name: string): string => (name.startsWith("CAP_") ? name : `CAP_${name}`).toUpperCase();
  const add = plan.addCapabilities.map(full);
  const drop = new Set(plan.dropCapabilities.map(full));
  const base = defaultCapabilities.filter((c) => deviceCgroup || c !== "CAP_MKNOD");
  const kept = add.includes("CAP_ALL") ? allCapabilities : drop.has("CAP_ALL") ? [] : base;
  const added = add.filter((c) => c !== "CAP_ALL" && allCapabilities.includes(c));
  return [...new Set([...kept.filter((c) => !drop.has(c)), ...added])];
}

function resourcesOf(plan: ContainerPlan): object {
  const { cpuMillis, memoryBytes, cpuRequestMillis } = plan.limits;
  return {
    devices: plan.privileged ? [{ allow: true, access: "rwm" }] : [{ allow: false, access: "rwm" }],
    ...(cpuMillis === undefined && cpuRequestMillis === undefined
      ? {}
      : {
          cpu: {
            ...(cpuRequestMillis === undefined ? {} : { shares: Math.max(2, Math.floor((cpuRequestMillis * 1024) / 1000)) }),
            ...(cpuMillis === undefined
              ? {}
              : { period: cpuPeriodMicros, quota: Math.max(1000, Math.floor((cpuMillis * cpuPeriodMicros) / 1000)) }),
          },
        }),
    ...(memoryBytes === undefined ? {} : { memory: { limit: memoryBytes } }),
  };
}
