import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ClusterStatus } from "../../../src/cli/cluster-status.ts";

const root = join(import.meta.dirname, "..", "..", "..");
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-main-"));
  const status: ClusterStatus = {
    name: "t",
    dataDir: dir,
    pid: process.pid,
    mode: "plain",
    api: { address: "127.0.0.1", port: 1 },
    kubeconfig: join(dir, "kubeconfig"),
    nodes: [{ name: "node-1", addresses: [] }],
    serviceCidrs: [],
    clusterCidrs: [],
    lbPool: [],
    clusterDomain: "cluster.local",
    versions: {},
  };
  writeFileSync(join(dir, "status.json"), JSON.stringify(status));
});
afterAll(() => rmSync(dir, { recursive: true }));

function start(...args: readonly string[]) {
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", join(root, "src", "cli", "main.ts"), ...args], {
    stdio: "pipe",
  });
}

async function run(args: readonly string[], input = ""): Promise<{ code: number | null; signal: string | null; out: string; err: string }> {
  const child = start(...args);
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (d: string) => (out += d));
  child.stderr.setEncoding("utf8").on("data", (d: string) => (err += d));
  child.stdin.end(input);
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return { code, signal, out, err };
}

const inNode = (...command: string[]): string[] => ["node-exec", "--data-dir", dir, "node-1", "--", ...command];

test.each([
  ["the exit status", ["sh", "-c", "echo out; echo err >&2; exit 42"], { code: 42, signal: null, out: "out\n", err: "err\n" }],
  ["a signal that ends it", ["sh", "-c", "kill -TERM $$"], { code: null, signal: "SIGTERM" }],
  ["standard input", ["cat"], { code: 0, out: "hello" }],
  ["arguments as they are", ["printf", "%s|", "-l", "a b", "$HOME", "--log-level"], { out: "-l|a b|$HOME|--log-level|" }],
  ["the default for SIGPIPE", ["sh", "-c", "yes | head -n 1"], { code: 0, out: "y\n", err: "" }],
  ["a command that is not there", ["no-such-command"], { code: 127, err: expect.stringContaining("no-such-command") }],
])("node-exec passes on %s", async (_, command, want) => {
  expect(await run(inNode(...command), "hello")).toMatchObject(want);
});

test("node-exec takes the process's place, so signals reach the command itself", async () => {
  const child = start(...inNode("sh", "-c", "trap 'echo got it; exit 7' TERM; echo $$; while :; do sleep 0.05; done"));
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (d: string) => {
    if (out === "") child.kill("SIGTERM");
    out += d;
  });
  const [code] = (await once(child, "close")) as [number | null];
  expect({ code, out }).toEqual({ code: 7, out: `${child.pid}\ngot it\n` });
});

test("a reader that goes away is no failure, and says nothing", async () => {
  const child = start("trace", "--help");
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (d: string) => (err += d));
  child.stdout.destroy();
  const [code] = (await once(child, "close")) as [number | null];
  expect({ code, err }).toEqual({ code: 0, err: "" });
});

test("wrong usage is 2 and one line for the shell too", async () => {
  expect(await run(["trace"])).toEqual({
    code: 2,
    signal: null,
    out: "",
    err: "fairway: required option '--from <sender>' not specified; see --help\n",
  });
});
