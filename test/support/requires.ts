import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** True when `name` is on PATH (or in sbin, where root's tools live). */
export function hasCommand(name: string): boolean {
  return `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`.split(":").some((d) => d !== "" && existsSync(`${d}/${name}`));
}

/**
 * The reason why tests that need root and these commands cannot run here, or undefined. Under CI=true a lack is an error:
 * nothing may be left out there for want of root or tools.
 */
export function lacking(...commands: readonly string[]): string | undefined {
  return told([...missingRights(), ...commands.filter((c) => !hasCommand(c))]);
}

/** The same for tests that any user may run. */
export function lackingCommands(...commands: readonly string[]): string | undefined {
  return told(commands.filter((c) => !hasCommand(c)));
}

// linux/capability.h
const capabilities = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n };

/** Root in a container without capabilities may no more than anybody. */
function missingRights(): readonly string[] {
  if (process.getuid?.() !== 0) return ["root"];
  const text = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return Object.entries(capabilities).flatMap(([name, bit]) => ((BigInt(`0x${text}`) >> bit) & 1n ? [] : [name]));
}

function told(missing: readonly string[]): string | undefined {
  if (missing.length === 0) return undefined;
  const reason = `needs ${missing.join(", ")}`;
  if (process.env["CI"] === "true") throw new Error(`CI must have what the tests need: ${reason}`);
  const file = process.env["FAIRWAY_LEFT_OUT"];
  if (file !== undefined) appendFileSync(file, `${reason}\n`);
  return reason;
}
