import type { Command } from "commander";
import { usageError } from "../errors.ts";
import { type CommandTree, printCompletion, shells } from "../printers/completion.ts";
import { commandIo } from "../program.ts";

export function register(program: Command): void {
  program
    .command("completion")
    .summary("print a script that completes commands in your shell")
    .argument("<shell>", shells.join(", "))
    .addHelpText(
      "after",
      "\nExamples:\n  source <(fairway completion bash)\n  source <(fairway completion zsh)\n  fairway completion fish | source\n",
    )
    .action((name: string, _: unknown, command: Command) => {
      const shell = shells.find((s) => s === name);
      if (shell === undefined) throw usageError(`completion ${name}: there are ${shells.join(", ")}`);
      commandIo(command).stdout(printCompletion(shell, treeOf(program)));
    });
}

function treeOf(command: Command): CommandTree {
  return {
    name: command.name(),
    summary: command.summary() || (command.description().split("\n")[0] ?? ""),
    options: command.options.map((o) => ({
      flags: [o.short, o.long].filter((f) => f !== undefined && f !== null),
      summary: o.description,
      takesValue: o.required || o.optional,
      choices: o.argChoices ?? [],
    })),
    commands: command.commands.map(treeOf),
  };
}
