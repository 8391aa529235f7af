import { unreachable } from "../../base/unreachable.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** The command line as data: what there is to complete. */
export interface CommandTree {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionWords[];
  /** What an argument may be, where that is a few words. */
  readonly words: readonly string[];
  /** An argument is a node of the running cluster. */
  readonly takesNode: boolean;
  readonly commands: readonly CommandTree[];
}
export interface OptionWords {
  readonly flags: readonly string[];
  readonly summary: string;
  readonly takesValue: boolean;
  /** Empty: file names are offered. */
  readonly choices: readonly string[];
  /** Its value is a node of the running cluster. */
  readonly takesNode: boolean;
}

/** A script to be sourced. Commands and flags are offered, the choices of an option that has some, and file names elsewhere. */
export function printCompletion(shell: Shell, tree: CommandTree): string {
  switch (shell) {
    case "bash":
      return bash(tree);
    case "zsh":
      return `#compdef ${tree.name}\nautoload -U +X bashcompinit && bashcompinit\n${bash(tree)}`;
    case "fish":
      return fish(tree);
    default:
      return unreachable(shell);
  }
}

function bash(tree: CommandTree): string {
  const { name } = tree;
  const everywhere = [...tree.options.flatMap((o) => o.flags), "--help"];
  const paths = pathsOf(tree);
  const cases = paths.map(({ path, command }) => {
    const flags = [...new Set([...command.options.flatMap((o) => o.flags), ...everywhere])];
    const words = [...command.commands.map((c) => c.name), ...command.words].join(" ");
    return `    "${path.join(" ")}") ${command.takesNode ? "nodes" : `commands="${words}"`}; options="${flags.join(" ")}" ;;`;
  });
  const options = uniqueOptions(paths.flatMap(({ command }) => command.options));
  const choices = options
    .filter((o) => o.choices.length > 0)
    .map((o) => `    ${o.flags.join("|")}) offer "${o.choices.join(" ")}"; return ;;`);
  const nodes = options.filter((o) => o.takesNode).flatMap((o) => o.flags);
  const files = options.filter((o) => o.takesValue && o.choices.length === 0 && !o.takesNode).flatMap((o) => o.flags);
  const names = new Set(paths.flatMap(({ path }) => path));
  return `_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path= commands= options= i
  offer() { while IFS= read -r i; do COMPREPLY+=("$i"); done < <(compgen -W "$1" -- "$current"); }
  nodes() { commands=$(\${COMP_WORDS[0]} status -o name 2>/dev/null); }
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --) return ;;
      ${[...names].join("|")}) path="\${path:+$path }\${COMP_WORDS[i]}" ;;
    esac
  done
  case $previous in
${choices.join("\n")}
${nodes.length === 0 ? "" : `    ${nodes.join("|")}) nodes; offer "$commands"; return ;;\n`}${files.length === 0 ? "" : `    ${files.join("|")}) return ;;`}
  esac
  case $path in
${cases.join("\n")}
  esac
  # Where no command is due, file names are: -o default offers them.
  case $current in
    -*) offer "$options" ;;
    *) offer "$commands" ;;
  esac
}
complete -o default -F _${name} ${name}
`;
}

function fish(tree: CommandTree): string {
  const quote = (text: string): string => `'${text.replace(/[\\']/g, "\\$&").replace(/\s+/g, " ")}'`;
  const nodes = ` -x -a '(${tree.name} status -o name 2>/dev/null)'`;
  const optionLine = (o: OptionWords, condition: string): string => {
    const flags = o.flags.map((f) => (f.startsWith("--") ? `-l ${f.slice(2)}` : `-s ${f.slice(1)}`)).join(" ");
    const value = o.takesValue ? (o.takesNode ? nodes : o.choices.length > 0 ? ` -x -a ${quote(o.choices.join(" "))}` : " -r") : "";
    return `complete -c ${tree.name}${condition} ${flags}${value} -d ${quote(o.summary)}`;
  };
  const top = tree.commands.map((c) => `complete -c ${tree.name} -n __fish_use_subcommand -f -a ${c.name} -d ${quote(c.summary)}`);
  const below = tree.commands.flatMap((c) => [
    ...(c.takesNode ? [`complete -c ${tree.name} -n '__fish_seen_subcommand_from ${c.name}'${nodes}`] : []),
    ...c.words.map((w) => `complete -c ${tree.name} -n '__fish_seen_subcommand_from ${c.name}' -f -a ${w}`),
    ...c.options.map((o) => optionLine(o, ` -n '__fish_seen_subcommand_from ${c.name}'`)),
    ...c.commands.map((s) => `complete -c ${tree.name} -n '__fish_seen_subcommand_from ${c.name}' -f -a ${s.name} -d ${quote(s.summary)}`),
  ]);
  return `${[...tree.options.map((o) => optionLine(o, "")), ...top, ...below].join("\n")}\n`;
}

function pathsOf(
  tree: CommandTree,
  path: readonly string[] = [],
): readonly { readonly path: readonly string[]; readonly command: CommandTree }[] {
  return [{ path, command: tree }, ...tree.commands.flatMap((c) => pathsOf(c, [...path, c.name]))];
}

function uniqueOptions(options: readonly OptionWords[]): readonly OptionWords[] {
  const seen = new Map(options.map((o) => [o.flags.join("|"), o]));
  return [...seen.values()];
}
