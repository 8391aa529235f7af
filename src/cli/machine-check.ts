import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { type CgroupVersion, detectCgroups } from "../kernel/cgroup.ts";

/** `required`: without it there is only plain mode. `wanted`: something smaller is missing without it. */
export type Need = "required" | "wanted";

export interface Finding {
  readonly name: string;
  readonly need: Need;
  readonly ok: boolean;
  /** What was found: a version, an error. */
  readonly found: string;
  /** When it is not ok: what that costs. */
  readonly cost?: string;
  /** When it is not ok: how to get it. */
  readonly fix?: string;
}

export interface MachineReport {
  /** What `fairway up` can do here. */
  readonly mode: "full" | "plain";
  readonly findings: readonly Finding[];
}

/** The doors to the machine; a test passes its own. */
export interface MachineProbe {
  /** Exit status (127 for a command that is not there) and what was printed. */
  run(command: string, args: readonly string[]): Promise<{ readonly status: number; readonly output: string }>;
  read(file: string): string | undefined;
  /** `undefined` when the port can be bound, else the error's code. */
  bind(address: string, port: number): Promise<string | undefined>;
  cgroups(): CgroupVersion;
}

interface Requirement {
  readonly name: string;
  readonly need: Need;
  readonly look: (p: MachineProbe) => Promise<{ readonly ok: boolean; readonly found: string }>;
  readonly cost: string;
  readonly fix: string;
  /** What must be there for the look to tell anything. */
  readonly after?: string;
}

const capNetAdmin = 12n;
const capSysAdmin = 21n;
const plainOnly = "only plain mode: one node, Pods are processes, Services live in 127.64.0.0/10";

const portCosts = {
  53: "nothing: cluster DNS has an address of its own; in plain mode it moves to 8053",
  80: "'fairway up' needs another port for http; plain mode takes 8080 by itself",
  443: "'fairway up' needs another port for https; plain mode takes 8443 by itself",
  6443: "'fairway up' needs another port for the API (--api-port)",
} as const;

const portErrors: Readonly<Record<string, string>> = {
  EADDRINUSE: "in use",
  EACCES: "may not be bound by this user (net.ipv4.ip_unprivileged_port_start)",
};

const portFixes = {
  53: "nothing to do",
  80: "free it, run as root, or pass --ingress-http-port",
  443: "free it, run as root, or pass --ingress-https-port",
  6443: "stop what listens there ('fairway status': is it a cluster of yours?), or pass --api-port",
} as const;

const requirements: readonly Requirement[] = [
  {
    name: "administrator rights",
    need: "required",
    look: async (p) => {
      const caps = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(p.read("/proc/self/status") ?? "")?.[1] ?? "0"}`);
      const missing = [...((caps >> capNetAdmin) & 1n ? [] : ["CAP_NET_ADMIN"]), ...((caps >> capSysAdmin) & 1n ? [] : ["CAP_SYS_ADMIN"])];
      return { ok: missing.length === 0, found: missing.length === 0 ? "root" : `without ${missing.join(" and ")}` };
    },
    cost: plainOnly,
    fix: "run as root (sudo), in a container with --privileged",
  },
  {
    name: "namespaces",
    need: "required",
    look: (p) => succeeds(p, "unshare", ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "true"], "net, mount, pid, ipc, uts"),
    cost: plainOnly,
    fix: "install util-linux; in a container, run it with --privileged",
  },
  {
    name: "links (veth, bridge)",
    need: "required",
    after: "namespaces",
    look: (p) =>
      succeeds(
        p,
        "unshare",
        ["--net", "sh", "-c", "ip link add fwcheck0 type veth peer name fwcheck1 && ip link add fwcheck2 type bridge"],
        "can be made",
      ),
    cost: plainOnly,
    fix: "apt-get install iproute2; load the kernel modules veth and bridge",
  },
  {
    name: "nf_tables",
    need: "required",
    after: "namespaces",
    look: (p) =>
      succeeds(
        p,
        "unshare",
        [
          "--net",
          "nft",
          "add table ip fairway-check { chain nat { type nat hook output priority -100; numgen random mod 1 vmap { 0 : accept }; }; }",
        ],
        "kernel and nft work",
      ),
    cost: "no service rules in the kernel: only the userspace backend",
    fix: "apt-get install nftables; the kernel needs nf_tables and nft_nat (modprobe nft_chain_nat nft_numgen)",
  },
  {
    name: "container runtime",
    need: "required",
    look: (p) => version(p, "crun", ["--version"]),
    cost: plainOnly,
    fix: "apt-get install crun",
  },
  {
    name: "overlay file system",
    need: "required",
    look: async (p) => {
      const ok = /\boverlay$/m.test(p.read("/proc/filesystems") ?? "");
      return { ok, found: ok ? "in the kernel" : "not in /proc/filesystems" };
    },
    cost: plainOnly,
    fix: "modprobe overlay",
  },
  {
    name: "control groups",
    need: "wanted",
    look: async (p) => {
      const version = p.cgroups();
      return { ok: version !== "none", found: version === "none" ? "none that may be written" : version };
    },
    cost: "Pods' CPU and memory limits are not enforced",
    fix: "run as root with /sys/fs/cgroup mounted writable; in a container, run it with --privileged",
  },
  {
    name: "conntrack",
    need: "wanted",
    look: (p) => version(p, "conntrack", ["--version"]),
    cost: "UDP flows to an endpoint that is gone end only by their timeout where netlink cannot be used",
    fix: "apt-get install conntrack",
  },
  {
    name: "iptables",
    need: "wanted",
    look: (p) => version(p, "iptables", ["--version"]),
    cost: "the backends iptables and ipvs cannot be used: nftables needs neither",
    fix: "apt-get install iptables",
  },
  {
    name: "ip_vs (virtual servers)",
    need: "wanted",
    // the file is there as soon as the module is loaded, or where it is built in
    look: async (p) =>
      p.read("/proc/net/ip_vs") === undefined
        ? succeeds(p, "modprobe", ["--dry-run", "--all", "ip_vs", "ip_vs_rr", "dummy"], "modules can be loaded")
        : { ok: true, found: "in the kernel" },
    cost: "the backend ipvs cannot be used: nothing else needs it",
    fix: "modprobe ip_vs ip_vs_rr dummy; where the kernel has no such modules, run one that has (Debian: linux-image-amd64)",
  },
  ...([53, 80, 443, 6443] as const).map(
    (port): Requirement => ({
      name: `port ${port}`,
      need: "wanted",
      look: async (p) => {
        const code = await p.bind("127.0.0.1", port);
        return { ok: code === undefined, found: code === undefined ? "free on 127.0.0.1" : (portErrors[code] ?? code) };
      },
      cost: portCosts[port],
      fix: portFixes[port],
    }),
  ),
  {
    name: "kubectl",
    need: "wanted",
    look: (p) => version(p, "kubectl", ["version", "--client", "--output=yaml"], /gitVersion: (\S+)/),
    cost: "nothing in fairway: you will want it to look around",
    fix: "https://kubernetes.io/docs/tasks/tools/",
  },
  {
    name: "curl and dig",
    need: "wanted",
    look: async (p) => {
      const found = await Promise.all([p.run("curl", ["--version"]), p.run("dig", ["-v"])]);
      const missing = ["curl", "dig"].filter((_, i) => found[i]?.status !== 0);
      return { ok: missing.length === 0, found: missing.length === 0 ? "both" : `no ${missing.join(", no ")}` };
    },
    cost: "the tour's lines and the image fairway/shell lack them",
    fix: "apt-get install curl bind9-dnsutils",
  },
];

/** Looks at everything at once; changes nothing that outlives the look. With `needs` of `required` alone it tells the mode, sooner. */
export async function checkMachine(
  probe: MachineProbe = systemProbe,
  needs: readonly Need[] = ["required", "wanted"],
): Promise<MachineReport> {
  const asked = requirements.filter((r) => needs.includes(r.need));
  const looked = new Map(asked.map((r) => [r.name, r.after === undefined ? r.look(probe) : undefined]));
  const findings = await Promise.all(
    asked.map(async ({ name, need, look, cost, fix, after }): Promise<Finding> => {
      const before = after === undefined ? undefined : await looked.get(after);
      const untold = before?.ok === false ? { ok: false, found: `cannot be told without ${after ?? ""}` } : undefined;
      const { ok, found } = untold ?? (await (looked.get(name) ?? look(probe)));
      return ok ? { name, need, ok, found } : { name, need, ok, found, cost, fix };
    }),
  );
  return { mode: findings.some((f) => f.need === "required" && !f.ok) ? "plain" : "full", findings };
}

async function succeeds(p: MachineProbe, command: string, args: readonly string[], found: string): Promise<{ ok: boolean; found: string }> {
  const { status, output } = await p.run(command, args);
  return status === 0
    ? { ok: true, found }
    : { ok: false, found: status === 127 ? `${command} is not there` : lastLine(output) || `${command} failed` };
}

async function version(
  p: MachineProbe,
  command: string,
  args: readonly string[],
  pattern = /v?\d+\.\d+[\w.+-]*/,
): Promise<{ ok: boolean; found: string }> {
  const { status, output } = await p.run(command, args);
  if (status !== 0) return { ok: false, found: status === 127 ? "not there" : lastLine(output) };
  const match = pattern.exec(output);
  return { ok: true, found: `${command} ${match?.[1] ?? match?.[0] ?? ""}`.trim() };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

const systemProbe: MachineProbe = {
  cgroups: detectCgroups,
  run: (command, args) =>
    new Promise((resolve) => {
      const env = { ...process.env, LC_ALL: "C", PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
      execFile(command, [...args], { timeout: 5000, env }, (error, stdout, stderr) => {
        const missing = (error as NodeJS.ErrnoException | null)?.code === "ENOENT";
        const status = error === null ? 0 : missing ? 127 : typeof error.code === "number" ? error.code : 1;
        resolve({ status, output: `${stdout}${stderr}` });
      });
    }),
  read: (file) => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return undefined;
    }
  },
  bind: (address, port) =>
    new Promise((resolve) => {
      const server = createServer();
      server.once("error", (e: NodeJS.ErrnoException) => resolve(e.code ?? e.message));
      server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
    }),
};
