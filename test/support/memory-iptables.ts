import type { CommandResult } from "../../src/kernel/command.ts";
import type { RunIptables } from "../../src/kernel/iptables-command.ts";

type Table = Map<string, string[]>;

const builtIns: Readonly<Record<string, readonly string[]>> = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
};
const verdicts = new Set(["ACCEPT", "DROP", "RETURN", "REJECT", "MARK", "DNAT", "MASQUERADE", "CT", "SET"]);

/** The iptables programs over tables in memory: `save`, `restore --noflush` and `-S`, for both families and one make. */
export class MemoryIptables {
  readonly #families = new Map<string, Map<string, Table>>();
  /** Programs that were run, with what they were given. */
  readonly runs: { readonly program: string; readonly input: string }[] = [];
  /** Lines that this kernel refuses. */
  refuses: (line: string) => boolean = () => false;
  /** What the next runs of `restore` say instead of doing anything, first to last. */
  readonly failures: CommandResult[] = [];

  readonly run: RunIptables = (program, args, input, signal) => {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    this.runs.push({ program, input });
    const family = program.startsWith("ip6") ? "6" : "4";
    if (program.endsWith("-save")) return Promise.resolve(this.#save(family));
    if (program.endsWith("-restore")) return Promise.resolve(this.failures.shift() ?? this.#restore(family, input));
    const table = args[args.indexOf("-t") + 1] ?? "";
    const chain = args[args.indexOf("-S") + 1] ?? "";
    const found = this.#tables(family).get(table)?.has(chain) === true;
    return Promise.resolve(found ? ok : failed("No chain/target/match by that name."));
  };

  /** As others might: all rules and chains of a table are gone. */
  flush(family: "4" | "6", table: string): void {
    this.#tables(family).delete(table);
  }

  #tables(family: string): Map<string, Table> {
    let tables = this.#families.get(family);
    if (tables === undefined) {
      tables = new Map();
      this.#families.set(family, tables);
    }
    return tables;
  }

  #save(family: string): CommandResult {
    const lines: string[] = [];
    for (const [name, table] of this.#tables(family)) {
      lines.push(`*${name}`);
      for (const chain of table.keys()) lines.push(`:${chain} ${builtIns[name]?.includes(chain) === true ? "ACCEPT" : "-"} [0:0]`);
      for (const [chain, rules] of table) for (const rule of rules) lines.push(`-A ${chain} ${rule}`);
      lines.push("COMMIT");
    }
    return { ...ok, stdout: `${lines.join("\n")}\n` };
  }

  #restore(family: string, input: string): CommandResult {
    let name = "";
    let table: Table = new Map();
    for (const [i, line] of input.split("\n").entries()) {
      const fail = (why: string): CommandResult => failed(`line ${i + 1}: ${why}`);
      const [verb = "", chain = ""] = line.split(" ");
      const specification = line.slice(verb.length + chain.length + 2);
      if (line === "") continue;
      if (line === "COMMIT") {
        this.#tables(family).set(name, table);
        continue;
      }
      if (line.startsWith("*")) {
        name = line.slice(1);
        const before = this.#tables(family).get(name);
        table = new Map((builtIns[name] ?? []).map((c) => [c, []]));
        for (const [c, rules] of before ?? []) table.set(c, [...rules]);
        continue;
      }
      if (this.refuses(line)) return fail("RULE_APPEND failed (Invalid argument)");
      const rules = table.get(chain);
      if (line.startsWith(":")) table.set(verb.slice(1), []);
      else if (rules === undefined) return fail(`no chain ${chain}`);
      else if (verb === "-A" && !isTarget(table, specification)) return fail(`Couldn't load target \`${targetOf(specification)}'`);
      else if (verb === "-A") rules.push(specification);
      else if (verb === "-I") rules.unshift(specification.replace(/^1 /, ""));
      else if (verb === "-D") {
        const at = rules.indexOf(specification);
        if (at < 0) return fail("Bad rule (does a matching rule exist in that chain?)");
        rules.splice(at, 1);
      } else if (verb === "-X") {
        if (rules.length > 0) return fail("chain is not empty");
        if ([...table.values()].some((of) => of.some((rule) => targetOf(rule) === chain))) return fail("Device or resource busy");
        table.delete(chain);
      } else return fail(`no such command ${verb}`);
    }
    return ok;
  }
}

function isTarget(table: Table, specification: string): boolean {
  const to = targetOf(specification);
  return verdicts.has(to) || table.has(to);
}

function targetOf(specification: string): string {
  return / -[jg] (\S+)/.exec(` ${specification}`)?.[1] ?? "";
}

const ok: CommandResult = { code: 0, stdout: "", stderr: "" };

function failed(stderr: string): CommandResult {
  return { code: 1, stdout: "", stderr: `iptables-restore: ${stderr}\n` };
}
