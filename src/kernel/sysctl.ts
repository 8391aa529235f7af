import { writeFileSync } from "node:fs";

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
