import type { CommandResult, RunCommand } from "../../src/kernel/command.ts";
import { isKernelError } from "../../src/kernel/errors.ts";
import { ApplyError } from "./errors.ts";

/** Changes of one request over netlink. Between requests others get their turn. */
export const stepsAtOnce = 2_000;

/** Runs a program that comes in the Debian package of the given name. Throws ApplyError UNUSABLE where it is not there. */
export async function runKnown(
  run: RunCommand,
  argv: readonly string[],
  input: string,
  signal: AbortSignal,
  name: string,
): Promise<CommandResult> {
  try {
    return await run(argv, { input }, signal);
  } catch (cause) {
    if (isKernelError(cause, "command-missing")) {
      throw new ApplyError("UNUSABLE", `the command ${name} cannot be run: install the package ${name}`, { cause });
    }
    throw cause;
  }
}
