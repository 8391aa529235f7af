import { Command, CommanderError, type Option } from "commander";
import manifest from "../../package.json" with { type: "json" };
import { exitStatusOf, printError } from "./errors.ts";
import { addGlobalOptions } from "./global-options.ts";

/** What a command's module gives: it adds its commands to the program, and imports what they need only when they run. */
export interface CommandModule {
  readonly register: (program: Command) => void;
}

/** The commands of one module, under the headline of `fairway --help` that they belong to. */
export interface CommandEntry {
  readonly group: string;
  readonly names: readonly string[];
  readonly load: () => Promise<CommandModule>;
}

export interface CliIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly columns?: number;
}

/** Where a command's answer and remarks go; from the `Command` that an action gets. */
export function commandIo(command: Command): CliIo {
  const { writeOut, writeErr } = command.configureOutput();
  return { stdout: (text) => writeOut?.(text), stderr: (text) => writeErr?.(text) };
}

/** Runs one command line (without runtime and script) and says its exit status. Errors are printed, one line each, never thrown. */
export async function runCli(line: readonly string[], entries: readonly CommandEntry[], io: CliIo): Promise<number> {
  const args = line[0] === "help" ? [...line.slice(1, 2), "--help"] : line;
  const program = newProgram(io);
  // The name may stand behind global options; a value that happens to be a command's name only loads one module too many.
  const asked = entries.filter((e) => e.names.some((n) => args.includes(n)));
  const first = args.find((a) => !a.startsWith("-"));
  const whole = first === undefined || first === "completion" || asked.length === 0;
  const version = args[0] === "--version" || args[0] === "-V";
  for (const entry of version ? [] : whole ? entries : asked) {
    program.commandsGroup(entry.group);
    (await entry.load()).register(program);
  }
  let status = 0;
  try {
    if (args.length === 0) program.outputHelp({ error: true });
    if (args.length === 0) return 2;
    await program.parseAsync([...args], { from: "user" });
  } catch (e) {
    if (e instanceof CommanderError) return e.exitCode === 0 ? 0 : 2;
    status = exitStatusOf(e);
    io.stderr(`fairway: ${printError(e)}\n`);
  }
  return status;
}

function newProgram(io: CliIo): Command {
  const program = new Command("fairway")
    .description(
      "Service networking for Kubernetes in one program: service rules, cluster DNS, ingress, on a control plane of its own or beside any other.",
    )
    .version(`fairway ${manifest.version}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help, or that of a command")
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: io.stdout,
      writeErr: io.stderr,
      ...(io.columns === undefined ? {} : { getOutHelpWidth: () => io.columns ?? 80 }),
      outputError: (text, write) => write(`fairway: ${usageLine(text, program)}\n`),
    })
    .configureHelp({ showGlobalOptions: true, subcommandTerm, optionDescription });
  addGlobalOptions(program);
  program.addHelpText(
    "after",
    "\nExit status: 0 done or answered, 1 failed, 2 wrong usage or bad input.\nTry 'fairway demo' for a guided tour, and 'fairway COMMAND --help' for one command.\n",
  );
  return program;
}

/** `trace`, `node-exec <node> <command...>`: that there are options goes without saying. */
function subcommandTerm(command: Command): string {
  return `${command.name()} ${command.usage().replace(/^\[options\] ?/, "")}`.trimEnd();
}

function optionDescription({ description, argChoices, defaultValue }: Option): string {
  const choices = argChoices === undefined ? "" : `: ${argChoices.join(", ")}`;
  return `${description}${choices}${typeof defaultValue === "string" ? ` (default ${defaultValue})` : ""}`;
}

/** Commander's message as one line that ends with what to do. */
function usageLine(text: string, program: Command): string {
  const line = text
    .trim()
    .replace(/^error: /, "")
    .replace(/\s*\n\s*/g, " ");
  if (/\?\)?$/.test(line)) return line;
  const begun = /^unknown option '(--[^'=]+)/.exec(line)?.[1];
  const meant = begun === undefined ? [] : optionsThatBegin(begun, program);
  return `${line.replace(/\.$/, "")}${meant.length === 0 ? "" : ` (there is ${meant.join(", ")})`}; see --help`;
}

/** Commander knows what is misspelt, not what is cut short. */
function optionsThatBegin(start: string, command: Command): readonly string[] {
  const own = command.options.flatMap(({ long, hidden }) => (!hidden && long?.startsWith(start) === true ? [long] : []));
  return [...new Set([...own, ...command.commands.flatMap((c) => optionsThatBegin(start, c))])];
}
