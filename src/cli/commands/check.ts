import type { Command } from "commander";
import { CliError } from "../errors.ts";
import { addOutputOption } from "../global-options.ts";
import type { OutputFormat } from "../output-format.ts";
import { commandIo } from "../program.ts";

export function register(program: Command): void {
  const command = program
    .command("check")
    .summary("what this machine lacks, what that costs, and how to get it")
    .description("Looks at what 'fairway up' needs of this machine: rights, namespaces, kernel features, programs, ports. Changes nothing.")
    .option("--fail", "exit 1 when only plain mode is possible");
  addOutputOption(command).action(async (options: { output?: OutputFormat; fail?: boolean }, self: Command) => {
    const [{ checkMachine }, { printCheck }] = await Promise.all([import("../machine-check.ts"), import("../printers/check.ts")]);
    const report = await checkMachine();
    commandIo(self).stdout(printCheck(options.output, report));
    if (options.fail === true && report.mode === "plain") throw new CliError("Answer", "this machine can only do plain mode");
  });
}
