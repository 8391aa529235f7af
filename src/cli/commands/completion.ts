import { Argument, type Command } from "commander";
import { type CommandTree, printCompletion, type Shell, shells } from "../printers/completion.ts";
import { commandIo } from "../program.ts";

export function register(program: Command): void {
  program
    .command("completion")
    .summary("print a script that completes commands in your shell")
    .addArgument(new Argument("<shell>", "the shell you use").choices(shells))
    .addHelpText(
      "after",
      "\nExamples:\n  source <(fairway completion bash)\n  source <(fairway completion zsh)\n  fairway completion fish | source\n",
    )
    .action((shell: Shell, _: unknown, command: Command) => {
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
      takesNode: o.long === "--node",
    })),
    words: command.registeredArguments.flatMap((a) => a.argChoices ?? []),
    takesNode: command.registeredArguments[0]?.name() === "node",
    // Hidden commands are not for people.
    commands: command.createHelp().visibleCommands(command).map(treeOf),
  };
}
