import { readFileSync, writeFileSync } from "node:fs";

/** Kernel settings by their dotted names, as `sysctl` spells them. */
export type Sysctls = Readonly<Record<string, string>>;

/** The file of a setting. A link's name may hold dots, so a name is given with `/` where it would be ambiguous. */
export function sysctlPath(name: string): string {
  return `/proc/sys/${name.includes("/") ? name : name.replaceAll(".", "/")}`;
}

/**
 * A shell script that sets what the kernel has and passes over what it has not (a kernel without IPv6 has no net.ipv6).
 * Run in a network namespace, `net.*` is that namespace's own.
 */
export function printSysctlScript(sysctls: Sysctls): string {
  return Object.entries(sysctls)
    .map(([name, value]) => `[ ! -w '${sysctlPath(name)}' ] || echo '${value}' > '${sysctlPath(name)}'`)
    .join("\n");
}

/** Sets one in this thread's network namespace. Throws where the kernel has no such setting or this process may not. */
export function writeSysctl(name: string, value: string): void {
  writeFileSync(sysctlPath(name), value);
}

/** What ipvs needs of a kernel of this release (`6.1.0-56-cloud-amd64`). Strict: other links do not answer ARP for an address. */
export function ipvsSysctls(release: string, strictArp: boolean): Sysctls {
  const [major = 0, minor = 0] = release.split(/[.-]/, 2).map(Number);
  return {
    // translated packets must be seen by connection tracking, or they could not be masqueraded
    "net.ipv4.vs.conntrack": "1",
    // before 5.9 a new connection from a port that was used a moment ago waited for a second
    ...(major < 5 || (major === 5 && minor < 9) ? { "net.ipv4.vs.conn_reuse_mode": "0" } : {}),
    // connections to real servers that are gone end with their next packet
    "net.ipv4.vs.expire_nodest_conn": "1",
    // a client that is remembered for a real server with weight 0 is forgotten
    "net.ipv4.vs.expire_quiescent_template": "1",
    "net.ipv4.ip_forward": "1",
    ...(strictArp ? { "net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2" } : {}),
  };
}

/** One of this thread's network namespace; undefined where the kernel has no such setting. */
export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(sysctlPath(name), "utf8").trim();
  } catch {
    return undefined;
  }
}
