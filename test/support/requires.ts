import { existsSync } from "node:fs";

/** True when `name` is on PATH (or in sbin, where root's tools live). */
export function hasCommand(name: string): boolean {
  return `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`.split(":").some((d) => d !== "" && existsSync(`${d}/${name}`));
}

/**
 * The reason why tests that need root and these commands cannot run here, or undefined. Under CI=true a lack is an error:
 * nothing may be left out there for want of root or tools.
 */
export function lacking(...commands: readonly string[]): string | undefined {
  return told([...(process.getuid?.() === 0 ? [] : ["root"]), ...commands.filter((c) => !hasCommand(c))]);
}

/** The same for tests that any user may run. */
export function lackingCommands(...commands: readonly string[]): string | undefined {
  return told(commands.filter((c) => !hasCommand(c)));
}

function told(missing: readonly string[]): string | undefined {
  if (missing.length === 0) return undefined;
  const reason = `needs ${missing.join(", ")}`;
  if (process.env["CI"] === "true") throw new Error(`CI must have what the tests need: ${reason}`);
  return reason;
}
