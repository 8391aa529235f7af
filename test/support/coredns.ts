import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { queryOnce } from "../../dns/forward/query-once.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { Running } from "../../src/base/running.ts";

/** The program of a real CoreDNS, where somebody gives one: a rival that is asked only then. */
export const coreDnsProgram = process.env["FAIRWAY_COREDNS"];

export interface CoreDns extends Running {
  /** On 127.0.0.1, over UDP and TCP. */
  readonly port: number;
}

const tries = 5;
/** Milliseconds. */
const answersWithin = 20_000;

/**
 * Starts CoreDNS with the Corefile and the files beside it. The port was free a moment ago, for nobody can keep it for another program
 * meanwhile: of two tests that draw the same one, CoreDNS would end, and the other test's server would answer in its place. So the
 * process has to live when an answer comes, and to live on for a moment; one that has ended is started again at another port.
 */
export async function startCoreDns(corefile: (port: number) => string, files: Readonly<Record<string, string>> = {}): Promise<CoreDns> {
  if (coreDnsProgram === undefined) throw new Error("FAIRWAY_COREDNS names no program");
  const dir = mkdtempSync(join(tmpdir(), "fairway-coredns-"));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, file), text);
  const said: string[] = [];
  for (let left = tries; left > 0; left--) {
    const port = await freePort();
    writeFileSync(join(dir, "Corefile"), corefile(port));
    const peer = spawn(coreDnsProgram, ["-conf", "Corefile", "-dns.port", String(port)], { cwd: dir, stdio: ["ignore", "ignore", "pipe"] });
    peer.stderr.setEncoding("utf8").on("data", (text: string) => void said.push(text));
    const ended = once(peer, "exit");
    if (await answers(peer, port)) {
      return {
        port,
        ready: Promise.resolve(),
        close: async () => {
          if (peer.exitCode === null) peer.kill("SIGKILL");
          await ended;
          rmSync(dir, { recursive: true });
        },
      };
    }
    if (peer.exitCode === null) peer.kill("SIGKILL");
    await ended;
  }
  rmSync(dir, { recursive: true });
  throw new Error(`CoreDNS does not serve: ${said.join("").slice(-1000)}`);
}

async function answers(peer: ChildProcess, port: number): Promise<boolean> {
  const until = performance.now() + answersWithin;
  const ask = (transport: "udp" | "tcp"): Promise<boolean> =>
    queryOnce({ ip: "127.0.0.1", port }, "start.invalid", { timeout: 300, transport }).then(
      () => true,
      () => false,
    );
  while (peer.exitCode === null && performance.now() < until) {
    await systemClock.sleep(50);
    if ((await ask("udp")) && (await ask("tcp"))) {
      // who could not have the port is on its way out
      await systemClock.sleep(100);
      return peer.exitCode === null;
    }
  }
  return false;
}

/** Free for TCP, the scarcer of both. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
