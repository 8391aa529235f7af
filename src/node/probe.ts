import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { HTTPGetAction, Probe } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import { type Ip, printHostPort } from "../base/ip.ts";
import { checkGrpcHealth } from "./grpc-health.ts";

export type ProbeKind = "Startup" | "Readiness" | "Liveness";

/** Where a probe goes. */
export interface ProbeTarget {
  readonly ip: Ip;
  /** A number, or the name of one of the container's ports. */
  port(named: number | string): number | undefined;
  exec(argv: readonly string[], signal: AbortSignal): Promise<{ readonly code: number; readonly output: string }>;
}

/** `refused`: nobody listens there yet. */
export type ProbeResult = { readonly ok: true } | { readonly ok: false; readonly message: string; readonly refused?: true };

export interface ProbeConfig {
  readonly kind: ProbeKind;
  readonly probe: Probe;
  /** When the container started; milliseconds since 1970. */
  readonly startedAt: number;
  target(): ProbeTarget;
  readonly clock: Clock;
}

export interface ProbeListener {
  /** The verdict after its threshold: told at the first success or failure that counts, and at every change. A failing liveness or startup probe tells again after each further threshold. */
  changed(ok: boolean, message: string): void;
  /** Every single failure. */
  failed(message: string): void;
}

const maxBody = 10_240;
const maxRedirects = 10;
// The kubelet waits a whole period after the first refusal. A program that is about to listen is looked at more often, without counting.
const warmUpMs = [25, 50, 100, 200, 400, 800] as const;

/** Probes until the signal aborts. */
export function startProbe(config: ProbeConfig, listener: ProbeListener, signal: AbortSignal): void {
  void loop(config, listener, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

async function loop(config: ProbeConfig, listener: ProbeListener, signal: AbortSignal): Promise<void> {
  const { probe, kind, clock } = config;
  const period = Math.max(1, probe.periodSeconds ?? 10) * 1000;
  const successes = kind === "Readiness" ? Math.max(1, probe.successThreshold ?? 1) : 1;
  const failures = Math.max(1, probe.failureThreshold ?? 3);
  const initial = config.startedAt + (probe.initialDelaySeconds ?? 0) * 1000 - clock.now();
  if (initial > 0) await clock.sleep(initial, signal);
  let verdict: boolean | undefined;
  let run = 0;
  let last: boolean | undefined;
  let warmUp = 0;
  while (!signal.aborted) {
    const begun = clock.monotonic();
    const result = await runProbe(probe, config.target(), signal);
    if (signal.aborted) return;
    const delay = warmUpMs[warmUp];
    if (!result.ok && result.refused && kind !== "Liveness" && last === undefined && delay !== undefined && delay < period) {
      warmUp++;
      await clock.sleep(delay, signal);
      continue;
    }
    run = last === result.ok ? run + 1 : 1;
    last = result.ok;
    if (!result.ok) listener.failed(result.message);
    const counts = result.ok ? run >= successes : run >= failures;
    if (counts && (verdict !== result.ok || (!result.ok && kind !== "Readiness"))) {
      verdict = result.ok;
      if (!result.ok) run = 0;
      listener.changed(result.ok, result.ok ? "" : result.message);
      if (kind === "Startup" && result.ok) return;
    }
    await clock.sleep(Math.max(1, period - (clock.monotonic() - begun)), signal);
  }
}

/** One try, with the probe's own timeout. Never rejects. */
export async function runProbe(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const seconds = Math.max(1, probe.timeoutSeconds ?? 1);
  const limit = AbortSignal.any([AbortSignal.timeout(seconds * 1000), signal]);
  try {
    if (probe.exec !== undefined) {
      const { code, output } = await target.exec(probe.exec.command ?? [], limit);
      if (limit.aborted) return failure(`command timed out: "${(probe.exec.command ?? []).join(" ")}" timed out after ${seconds}s`);
      return code === 0 ? { ok: true } : failure(output);
    }
    if (probe.httpGet !== undefined) return await probeHttp(probe.httpGet, target, limit);
    if (probe.tcpSocket !== undefined) {
      const port = target.port(probe.tcpSocket.port);
      if (port === undefined) return failure(`couldn't find port: ${probe.tcpSocket.port}`);
      return await probeTcp(probe.tcpSocket.host ?? target.ip, port, limit);
    }
    if (probe.grpc !== undefined) {
      const wrong = await checkGrpcHealth(target.ip, probe.grpc.port, probe.grpc.service ?? "", limit);
      return wrong === undefined ? { ok: true } : { ok: false, message: wrong.message, ...(wrong.refused ? { refused: true } : {}) };
    }
    return failure("the probe names nothing to do");
  } catch (error) {
    return failure(error instanceof Error ? error.message : String(error));
  }
}

/** GET as the kubelet does it: no certificate check, redirects followed on the same host only, 200–399 is well. */
export async function probeHttp(action: HTTPGetAction, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const port = target.port(action.port);
  if (port === undefined) return failure(`couldn't find port: ${action.port}`);
  const scheme = (action.scheme ?? "HTTP").toLowerCase();
  const host = action.host === undefined || action.host === "" ? target.ip : action.host;
  const path = action.path ?? "/";
  let url = new URL(`${scheme}://${printHostPort(host, port)}${path.startsWith("/") ? path : `/${path}`}`);
  const shown = `Get "${scheme}://${printHostPort(host, port)}${path}"`;
  for (let i = 0; i <= maxRedirects; i++) {
    const answer = await get(url, action, signal);
    if (answer.kind === "error") {
      const timedOut = signal.aborted;
      const why = timedOut ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" : answer.message;
      return { ok: false, message: `${shown}: ${why}`, ...(answer.refused ? { refused: true } : {}) };
    }
    if (answer.status >= 300 && answer.status < 400 && answer.location !== undefined) {
      const next = URL.parse(answer.location, url);
      if (next === null || next.hostname !== url.hostname) return { ok: true };
      url = next;
      continue;
    }
    if (answer.status >= 200 && answer.status < 400) return { ok: true };
    return failure(`HTTP probe failed with statuscode: ${answer.status}`);
  }
  return failure(`${shown}: stopped after ${maxRedirects} redirects`);
}

type HttpAnswer =
  | { readonly kind: "answer"; readonly status: number; readonly location: string | undefined }
  | { readonly kind: "error"; readonly message: string; readonly refused: boolean };

function get(url: URL, action: HTTPGetAction, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    const headers: Record<string, string> = { "User-Agent": "kube-probe/1.36", Accept: "*/*", Connection: "close" };
    for (const { name, value } of action.httpHeaders ?? []) {
      for (const known of Object.keys(headers)) if (known.toLowerCase() === name.toLowerCase()) delete headers[known];
      headers[name] = value;
    }
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send(url, { headers, agent: false, signal, rejectUnauthorized: false }, (response) => {
      let size = 0;
      const finish = (): void => {
        resolve({ kind: "answer", status: response.statusCode ?? 0, location: response.headers.location });
        response.destroy();
      };
      response.on("data", (d: Buffer) => {
        size += d.length;
        if (size > maxBody) finish();
      });
      response.on("end", finish);
      response.on("error", (e) => resolve({ kind: "error", message: e.message, refused: false }));
    });
    request.on("error", (e: NodeJS.ErrnoException) => {
      resolve({ kind: "error", message: printDialError(e, url), refused: e.code === "ECONNREFUSED" });
    });
    request.end();
  });
}

export function probeTcp(host: string, port: number, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const stop = (): void => {
      socket.destroy();
      resolve(failure(`dial tcp ${printHostPort(host, port)}: i/o timeout`));
    };
    signal.addEventListener("abort", stop, { once: true });
    const finish = (result: ProbeResult): void => {
      signal.removeEventListener("abort", stop);
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => finish({ ok: true }));
    socket.once("error", (e: NodeJS.ErrnoException) => {
      const refused = e.code === "ECONNREFUSED";
      const message = `dial tcp ${printHostPort(host, port)}: ${refused ? "connect: connection refused" : e.message}`;
      finish({ ok: false, message, ...(refused ? { refused } : {}) });
    });
    if (signal.aborted) stop();
  });
}

// In the words of Go's net package, which people search for.
function printDialError(error: NodeJS.ErrnoException, url: URL): string {
  const at = `dial tcp ${url.host}`;
  if (error.code === "ECONNREFUSED") return `${at}: connect: connection refused`;
  if (error.code === "EHOSTUNREACH") return `${at}: connect: no route to host`;
  if (error.code === "ECONNRESET") return "EOF";
  return error.message;
}

function failure(message: string): ProbeResult {
  return { ok: false, message };
}
