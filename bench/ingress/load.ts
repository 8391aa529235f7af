import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { sceneHosts } from "./ports.ts";
import { cores } from "./rivals.ts";

const run = promisify(execFile);

/** What is asked for. `wrk`: HTTP/1.1 on 64 connections. `h2load`: HTTP/2 over TLS on 8 connections of 16 streams. */
export interface Scene {
  readonly title: string;
  readonly path: string;
  readonly host: keyof typeof sceneHosts;
  readonly by: "wrk" | "h2load" | "h2load, grpc";
  readonly tls: boolean;
  /** Each request on a connection of its own. */
  readonly fresh: boolean;
  /** No head comes twice: path, query, agent and cookie differ. */
  readonly varied?: boolean;
  readonly proxies: readonly string[];
}

/** Requests answered. Throws when some were not answered well. */
export async function load(port: number, scene: Scene, o: { readonly seconds: number; readonly dir: string }): Promise<number> {
  const seconds = Math.ceil(o.seconds);
  const url = `${scene.tls ? "https" : "http"}://127.0.0.1:${port}${scene.path}`;
  return scene.by === "wrk" ? wrk(url, scene, { seconds, dir: o.dir }) : h2load(url, scene, { seconds, dir: o.dir });
}

async function wrk(url: string, scene: Scene, o: { readonly seconds: number; readonly dir: string }): Promise<number> {
  const close = scene.fresh ? ["-H", "Connection: close"] : [];
  const host = ["-H", `Host: ${sceneHosts[scene.host]}`];
  const script = join(o.dir, "varied.lua");
  if (scene.varied === true) writeFileSync(script, variedRequests);
  const asks = scene.varied === true ? ["-s", script] : [];
  const { stdout } = await run("taskset", ["-c", cores.load, "wrk", "-t1", "-c64", `-d${o.seconds}s`, ...host, ...close, ...asks, url]);
  if (/Non-2xx/.test(stdout)) throw new Error(stdout);
  return Number(/([0-9]+) requests in/.exec(stdout)?.[1] ?? 0);
}

async function h2load(url: string, scene: Scene, o: { readonly seconds: number; readonly dir: string }): Promise<number> {
  const message = join(o.dir, "message");
  writeFileSync(message, Buffer.alloc(5));
  const grpc = scene.by === "h2load, grpc" ? ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"] : [];
  const args = ["-c8", "-m16", "-t1", `-D${o.seconds}`, "-H", `:authority: ${sceneHosts[scene.host]}`, ...grpc, url];
  const { stdout } = await run("taskset", ["-c", cores.load, "h2load", ...args]);
  const [, good = 0, bad = 0, worse = 0] = (/status codes: ([0-9]+) 2xx, [0-9]+ 3xx, ([0-9]+) 4xx, ([0-9]+) 5xx/.exec(stdout) ?? []).map(
    Number,
  );
  // nginx loses one now and then at the start of a run of gRPC
  if (good === 0 || bad + worse > good / 1000) throw new Error(stdout);
  return good;
}

/** What wrk runs to make each request: its own headers, and ours that differ each time. */
const variedRequests = `
local n = os.time() % 100000 * 1000
function request()
  n = n + 1
  wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/" .. n
  wrk.headers["Cookie"] = "session=" .. (n * 7919) .. "; theme=dark"
  wrk.headers["Accept"] = "text/html"
  return wrk.format("GET", "/a/item/" .. n .. "?page=" .. n % 7)
end
`;

/** Milliseconds of processor time since the start of a process, with all its threads. */
export function cpuMs(pid: number): { readonly user: number; readonly system: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return { user: Number(fields[11]) * 10, system: Number(fields[12]) * 10 };
}

/** MiB. */
export function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+([0-9]+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Waits until something listens there. */
export async function open(port: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("close", () => undefined);
      setTimeout(() => socket.destroy(), 50);
    });
    if (there) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}
