import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ContainerPlan } from "../../src/node/container-plan.ts";
import { isNodeError } from "../../src/node/errors.ts";
import type { ExecSession, PodRuntime } from "../../src/node/pod-runtime.ts";

/** What every runtime must do; `open` again on the same folder is the next agent. */
export function podRuntimeContract(name: string, place: { readonly open: () => Promise<PodRuntime> }): void {
  const patience = AbortSignal.timeout(600_000);
  let serial = 0;
  const plan = (podUid: string, script: string, more: Partial<ContainerPlan> = {}): ContainerPlan => ({
    podUid,
    name: "c",
    attempt: 0,
    root: "host",
    argv: ["sh", "-c", script],
    env: { PATH: "/usr/bin:/bin", COLOR: "green" },
    workingDir: "/",
    user: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, groups: [] },
    hostname: "pod",
    mounts: [],
    readOnlyRoot: false,
    privileged: false,
    allowPrivilegeEscalation: false,
    addCapabilities: [],
    dropCapabilities: [],
    sysctls: {},
    limits: {},
    hostNetwork: true,
    hostPid: false,
    stdin: false,
    stdinOnce: false,
    tty: false,
    ...more,
  });
  const withPod = async (act: (runtime: PodRuntime, uid: string) => Promise<void>): Promise<void> => {
    const runtime = await place.open();
    const uid = `pod-${process.pid}-${serial++}`;
    await runtime.createSandbox({ podUid: uid, namespace: "default", name: uid, hostNetwork: true, hostPorts: [] }, patience);
    try {
      await act(runtime, uid);
    } finally {
      await runtime.removePod(uid);
      await runtime.close();
    }
  };
  const logOf = (runtime: PodRuntime, uid: string, attempt = 0): string[] =>
    readFileSync(join(runtime.folders(uid).logs, "c", `${attempt}.log`), "utf8")
      .split("\n")
      .map((line) => line.split(" ").slice(1).join(" "));
  const outputOf = async (session: ExecSession): Promise<{ readonly code: number; readonly out: string; readonly err: string }> => {
    const text = { out: "", err: "" };
    session.stdout.on("data", (d: Buffer) => (text.out += d.toString()));
    session.stderr.on("data", (d: Buffer) => (text.err += d.toString()));
    return { code: await session.exitCode, ...text };
  };

  test(`${name}: a start that is given up leaves no process, however far it has come`, () =>
    withPod(async (runtime, uid) => {
      const runs = (marker: string): boolean => readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(marker));
      for (const [attempt, ms] of [0, 1, 3, 6, 10, 20, 40].entries()) {
        const marker = `given-up-${uid}-${ms}`;
        const stop = new AbortController();
        const timer = setTimeout(() => stop.abort(new Error("given up")), ms);
        try {
          const run = await runtime.startContainer(plan(uid, `: ${marker}; sleep 300; :`, { attempt }), stop.signal);
          clearTimeout(timer);
          runtime.signalContainer(run, "SIGKILL");
          await run.exited;
        } catch (error) {
          expect(String(error)).toContain("given up");
        }
        await expect.poll(() => runs(marker)).toBe(false);
      }
    }));

  test(`${name}: output is in the log and the status is told, also of the shortest command`, () =>
    withPod(async (runtime, uid) => {
      const run = await runtime.startContainer(plan(uid, "echo $COLOR; echo bad >&2; printf rest; exit 6"), patience);
      expect(await run.exited).toMatchObject({ code: 6, reason: "Error" });
      expect(logOf(runtime, uid).toSorted()).toEqual(["", "stderr F bad", "stdout F green", "stdout F rest"]);
      const again = await runtime.startContainer(plan(uid, "exit 0", { attempt: 1 }), patience);
      expect(await again.exited).toMatchObject({ code: 0, reason: "Completed" });
      expect(again.id).not.toBe(run.id);
    }));

  test(`${name}: a command that is not there is told as such`, () =>
    withPod(async (runtime, uid) => {
      const failed = await runtime.startContainer(plan(uid, "", { argv: ["/no/such/command"] }), patience).catch((e: unknown) => e);
      expect(isNodeError(failed, "runtime-failed") ? failed.message : failed).toContain("/no/such/command");
    }));

  test(`${name}: signals reach the first process, SIGKILL all of them`, () =>
    withPod(async (runtime, uid) => {
      const polite = await runtime.startContainer(plan(uid, "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"), patience);
      await expect.poll(() => logOf(runtime, uid)).toContain("stdout F up");
      expect(runtime.heeds(polite, "SIGTERM")).toBe(true);
      runtime.signalContainer(polite, "SIGTERM");
      expect(await polite.exited).toMatchObject({ code: 9 });
      const deaf = await runtime.startContainer(plan(uid, "trap '' TERM; echo up; sleep 100 & wait; wait", { attempt: 1 }), patience);
      await expect.poll(() => logOf(runtime, uid, 1)).toContain("stdout F up");
      runtime.signalContainer(deaf, "SIGTERM");
      runtime.signalContainer(deaf, "SIGKILL");
      expect(await deaf.exited).toMatchObject({ code: 137 });
      runtime.signalContainer(deaf, "SIGKILL");
    }));

  test(`${name}: exec has the container's environment, its own streams and status, and a terminal where asked`, () =>
    withPod(async (runtime, uid) => {
      const run = await runtime.startContainer(plan(uid, "sleep 100"), patience);
      const plain = await outputOf(runtime.exec(run, ["sh", "-c", "echo $COLOR; echo bad >&2; exit 3"], { tty: false, stdin: false }));
      expect(plain).toEqual({ code: 3, out: "green\n", err: "bad\n" });
      const piped = runtime.exec(run, ["cat"], { tty: false, stdin: true });
      piped.stdin.end("through");
      expect(await outputOf(piped)).toEqual({ code: 0, out: "through", err: "" });
      const typed = runtime.exec(run, ["sh", "-c", "read line; stty size; exit 4"], { tty: true, stdin: true });
      typed.resize(91, 34);
      typed.stdin.write("go\n");
      const { code, out } = await outputOf(typed);
      expect([code, out.includes("34 91")]).toEqual([4, true]);
    }));

  test(`${name}: input and live output can be attached to`, () =>
    withPod(async (runtime, uid) => {
      const run = await runtime.startContainer(plan(uid, "read line; echo got $line", { stdin: true }), patience);
      const session = runtime.attach(run, { stdin: true });
      session.stdin.write("this\n");
      expect(await outputOf(session)).toMatchObject({ code: 0, out: "got this\n" });
    }));

  test(`${name}: input that is for one client ends with it, other input does not`, () =>
    withPod(async (runtime, uid) => {
      const once = await runtime.startContainer(plan(uid, "cat; echo over", { stdin: true, stdinOnce: true }), patience);
      const looks = runtime.attach(once, { stdin: false });
      looks.kill();
      const client = runtime.attach(once, { stdin: true });
      client.stdin.end("all of it\n");
      expect(await outputOf(client)).toMatchObject({ code: 0, out: "all of it\nover\n" });
      const gone = await runtime.startContainer(plan(uid, "cat; echo over", { name: "gone", stdin: true, stdinOnce: true }), patience);
      runtime.attach(gone, { stdin: true }).kill();
      expect(await gone.exited).toMatchObject({ code: 0 });
      const kept = await runtime.startContainer(plan(uid, "read a; read b; echo $a $b", { name: "kept", stdin: true }), patience);
      runtime.attach(kept, { stdin: true }).stdin.end("one\n");
      const second = runtime.attach(kept, { stdin: true });
      second.stdin.write("two\n");
      expect(await outputOf(second)).toMatchObject({ code: 0, out: "one two\n" });
      // Nobody of those who kept an input open is left.
      await expect.poll(() => readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(uid))).toEqual([]);
    }));

  test(`${name}: the next agent goes on with what runs, and knows how the rest ended`, () =>
    withPod(async (first, uid) => {
      mkdirSync(first.folders(uid).volumes, { recursive: true });
      writeFileSync(join(first.folders(uid).volumes, "kept"), "");
      await first.startContainer(plan(uid, "while :; do echo tick; sleep 0.05; done", { name: "c" }), patience);
      const short = await first.startContainer(plan(uid, "exit 8", { name: "short" }), patience);
      await short.exited;
      await first.close();
      const next = await place.open();
      const pod = (await next.adopt()).find((p) => p.podUid === uid);
      const ticking = pod?.containers.find((c) => c.name === "c");
      expect(await pod?.containers.find((c) => c.name === "short")?.exited).toMatchObject({ code: 8 });
      const before = logOf(next, uid).length;
      await expect.poll(() => logOf(next, uid).length).toBeGreaterThan(before + 2);
      if (ticking !== undefined) next.signalContainer(ticking, "SIGKILL");
      expect(await ticking?.exited).toMatchObject({ code: 137 });
      await next.removePod(uid);
      expect((await next.adopt()).map((p) => p.podUid)).not.toContain(uid);
      await next.close();
    }));

  test.each([
    { who: "the shim", find: (folder: string) => Number(readFileSync(join(folder, "shim"), "utf8")) },
    { who: "what the shim waits for", find: (folder: string) => childOf(Number(readFileSync(join(folder, "shim"), "utf8"))) },
  ])(`${name}: with $who killed, the container ends too and is told so`, ({ find }) =>
    withPod(async (runtime, uid) => {
      const run = await runtime.startContainer(plan(uid, "sleep 100"), patience);
      const folder = join(runtime.folders(uid).pod, "containers", "c", "0");
      const pid = readFileSync(join(folder, "pid"), "utf8").trim();
      process.kill(find(folder), "SIGKILL");
      expect(await run.exited).toMatchObject({ code: 137 });
      // Gone, or dead and not yet reaped: then it has no command line.
      const command = (): string => (existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "");
      await expect.poll(command).not.toContain("sleep");
    }),
  );
}

function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
