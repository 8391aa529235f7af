import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { register as registerCompletion } from "../../../src/cli/commands/completion.ts";
import { inputError, workError } from "../../../src/cli/errors.ts";
import { addOutputOption, globalOptions } from "../../../src/cli/global-options.ts";
import { type CommandEntry, commandIo, runCli } from "../../../src/cli/program.ts";

function entries(loaded: string[] = []): readonly CommandEntry[] {
  const entry = (name: string, register: (program: Command) => void): CommandEntry => ({
    group: "Group:",
    names: [name],
    load: async () => {
      loaded.push(name);
      return { register };
    },
  });
  return [
    entry("say", (program) => {
      const say = program
        .command("say")
        .summary("says it")
        .argument("[word]")
        .option("--file <file>", "a file")
        .option("--listen-address <address>", "an address")
        .option("--node <name>", "a node");
      addOutputOption(say).action((word: string | undefined, _: unknown, self: Command) => {
        commandIo(self).stdout(`${word ?? "nothing"} ${globalOptions(self).logLevel}\n`);
      });
    }),
    entry("fail", (program) => {
      program.command("secret", { hidden: true });
      program.command("inside-machine").argument("<node>").argument("[command...]");
      program
        .command("fail")
        .argument("<how>")
        .action((how: string) => {
          if (how === "input") throw inputError("f.yaml: document 1: kind: missing");
          if (how === "work") throw workError("no cluster", new Error("connect\n  refused"));
          if (how === "foreign") throw Object.assign(new Error("bad range"), { code: "Usage" });
          throw new Error("");
        });
    }),
    { group: "Group:", names: ["completion"], load: async () => ({ register: registerCompletion }) },
  ];
}

async function run(...args: string[]): Promise<{ status: number; out: string; err: string; loaded: string[] }> {
  const loaded: string[] = [];
  let out = "";
  let err = "";
  const status = await runCli(args, entries(loaded), { stdout: (t) => (out += t), stderr: (t) => (err += t) });
  return { status, out, err, loaded };
}

test.each([
  ["an answer", ["say", "hello"], 0, "hello info\n", ""],
  ["a global flag before the command", ["--log-level", "debug", "say"], 0, "nothing debug\n", ""],
  ["a global flag behind the command", ["say", "x", "--log-level", "warn"], 0, "x warn\n", ""],
  ["the version", ["--version"], 0, expect.stringMatching(/^fairway \d+\.\d+\.\d+\n$/), ""],
  ["bad input", ["fail", "input"], 2, "", "fairway: f.yaml: document 1: kind: missing\n"],
  ["work that failed, with its cause in one line", ["fail", "work"], 1, "", "fairway: no cluster: connect refused\n"],
  ["another room's usage error", ["fail", "foreign"], 2, "", "fairway: bad range\n"],
  ["an error without a message", ["fail", "bug"], 1, "", "fairway: Error\n"],
  ["an unknown command", ["nope"], 2, "", "fairway: unknown command 'nope'; see --help\n"],
  ["a near miss", ["sya"], 2, "", "fairway: unknown command 'sya' (Did you mean say?)\n"],
  ["an unknown option", ["say", "--quxx"], 2, "", "fairway: unknown option '--quxx'; see --help\n"],
  ["an option cut short", ["say", "--fi"], 2, "", "fairway: unknown option '--fi' (Did you mean --file?)\n"],
  [
    "an option cut far too short",
    ["say", "--listen"],
    2,
    "",
    "fairway: unknown option '--listen' (there is --listen-address); see --help\n",
  ],
  ["too many words", ["say", "a", "b"], 2, "", expect.stringMatching(/^fairway: too many arguments.*\n$/)],
  ["a missing word", ["fail"], 2, "", "fairway: missing required argument 'how'; see --help\n"],
  [
    "a value that is none of the choices",
    ["say", "-o", "xml"],
    2,
    "",
    expect.stringMatching(/^fairway: option .*json, yaml, wide, name; see --help\n$/),
  ],
  [
    "a bad log level",
    ["say", "--log-level", "loud"],
    2,
    "",
    expect.stringMatching(/^fairway: option .*debug, info, warn, error; see --help\n$/),
  ],
] as const)("%s", async (_, args, status, out, err) => {
  expect(await run(...args)).toMatchObject({ status, out, err });
});

test("only the module of the command is loaded; help loads all and lists them under their group", async () => {
  expect((await run("say", "fairly")).loaded).toEqual(["say"]);
  expect((await run("--version")).loaded).toEqual([]);
  const help = await run("--help");
  expect(help.status).toBe(0);
  expect(help.loaded).toEqual(["say", "fail"]);
  expect(help.out).toMatch(/Group:\n {2}say \[word\] +says it\n/);
  expect(help.out).toContain("Exit status: 0 done or answered, 1 failed, 2 wrong usage or bad input.");
  expect((await run("say", "--help")).out).toContain("--log-level");
  expect((await run("help")).out).toBe(help.out);
  expect((await run("help", "say")).out).toContain("Usage: fairway say");
});

test("no command at all is wrong usage, and shows the help on stderr", async () => {
  const { status, out, err } = await run();
  expect({ status, out }).toEqual({ status: 2, out: "" });
  expect(err).toContain("Usage: fairway");
});

test("the completion script works when bash has sourced it", async () => {
  const { out } = await run("completion", "bash");
  const dir = mkdtempSync(join(tmpdir(), "fairway-completion-"));
  try {
    writeFileSync(join(dir, "c.sh"), out);
    const complete = (...words: string[]): string[] => {
      const list = words.map((w) => `'${w}'`).join(" ");
      const script = `fairway() { [ "$*" = "status -o name" ] && printf 'node-1\\nnode-2\\n'; }; source ${join(dir, "c.sh")}; COMP_WORDS=(fairway ${list}); COMP_CWORD=${words.length}; _fairway; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync("bash", ["--norc", "-euc", `set +e +u; ${script}`], { encoding: "utf8" })
        .split("\n")
        .filter((l) => l !== "");
    };
    expect(complete("")).toEqual(["say", "inside-machine", "fail", "completion"]);
    expect(complete("s")).toEqual(["say"]);
    expect(complete("say", "-o", "")).toEqual(["json", "yaml", "wide", "name"]);
    expect(complete("say", "-o", "y")).toEqual(["yaml"]);
    expect(complete("say", "--f")).toEqual(["--file"]);
    expect(complete("say", "--file", "")).toEqual([]);
    expect(complete("inside-machine", "")).toEqual(["node-1", "node-2"]);
    expect(complete("say", "--node", "node-2")).toEqual(["node-2"]);
    expect(complete("completion", "z")).toEqual(["zsh"]);
    expect(complete("--log-level", "")).toEqual(["debug", "info", "warn", "error"]);
    expect(complete("say", "--", "--l")).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test.each(["zsh", "fish"])("there is a script for %s that names commands and flags", async (shell) => {
  const { status, out } = await run("completion", shell);
  expect(status).toBe(0);
  for (const word of ["say", "fail", "log-level", "json yaml wide name"]) expect(out).toContain(word);
  expect(await run("completion", "tcsh")).toMatchObject({
    status: 2,
    err: expect.stringMatching(/^fairway: .*'tcsh' is invalid.* bash, zsh, fish; see --help\n$/),
  });
});
