import type { Clock } from "../../src/base/clock.ts";
import type { TracingSettings } from "../route/proxy-settings.ts";
import { encodeExport } from "./otlp-protobuf.ts";
import { type OtlpSpan, printExport } from "./otlp-span.ts";
import type { Subrequests } from "./subrequest.ts";

export interface SpanExporterDeps {
  readonly clock: Clock;
  readonly subrequests: Pick<Subrequests, "send" | "call">;
  readonly log: (message: string) => void;
  /** Counts of what became of spans. */
  readonly counts: { sent: number; dropped: number };
  /** As they are now. */
  readonly settings: () => TracingSettings | undefined;
}

/** As OpenTelemetry's batch processor has them where nobody says. */
const defaults = { queueSize: 2048, delayMs: 5000, batchSize: 512 };
const sendMs = 10_000;
/** A process that ends does not wait longer for its collector. Milliseconds. */
const farewellMs = 1_000;
/** A batch that cannot be brought is tried so often, each time twice as long after. */
const tries = 3;
const firstPauseMs = 1_000;
/** OTLP/HTTP: these may be tried again. */
const again: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** OTLP/gRPC: cancelled, deadline exceeded, resource exhausted, aborted, out of range, unavailable, data loss. */
const againByGrpc: ReadonlySet<number> = new Set([1, 4, 8, 10, 11, 14, 15]);
const method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/**
 * Brings spans to their collector (OTLP) in batches, one at a time. A request only adds to a list; where the
 * collector is slow or away, spans are dropped when the list is full.
 */
export class SpanExporter {
  readonly #deps: SpanExporterDeps;
  #queue: OtlpSpan[] = [];
  #life = new AbortController();
  #wake: AbortController | undefined;
  #running = false;

  constructor(deps: SpanExporterDeps) {
    this.#deps = deps;
  }

  add(span: OtlpSpan): void {
    const { queueSize, batchSize } = { ...defaults, ...this.#deps.settings()?.batch };
    if (this.#queue.length >= queueSize) {
      this.#deps.counts.dropped++;
      return;
    }
    this.#queue.push(span);
    if (!this.#running) void this.#run();
    else if (this.#queue.length >= batchSize) this.#wake?.abort();
  }

  /** What is waiting is brought once more, without waiting for it long. */
  async close(): Promise<void> {
    this.#life.abort();
    this.#wake?.abort();
    if (this.#queue.length > 0) await this.#send(this.#queue.splice(0), farewellMs);
  }

  /** Goes on for as long as there is something to bring. */
  async #run(): Promise<void> {
    this.#running = true;
    while (this.#queue.length > 0 && !this.#life.signal.aborted) {
      const { delayMs, batchSize } = { ...defaults, ...this.#deps.settings()?.batch };
      if (this.#queue.length < batchSize) {
        this.#wake = new AbortController();
        await this.#pause(delayMs, this.#wake.signal);
      }
      if (this.#life.signal.aborted) break;
      await this.#bring(this.#queue.splice(0, batchSize));
    }
    this.#running = false;
  }

  async #bring(batch: readonly OtlpSpan[]): Promise<void> {
    for (let i = 0; i < tries; i++) {
      if (i > 0) await this.#pause(firstPauseMs * 2 ** (i - 1), this.#life.signal);
      const outcome = await this.#send(batch);
      if (outcome !== "again" || this.#life.signal.aborted) return;
    }
    this.#drop(batch, "it was not there, three times");
  }

  async #send(batch: readonly OtlpSpan[], timeoutMs = sendMs): Promise<"done" | "again"> {
    const settings = this.#deps.settings();
    const { endpoint } = settings ?? {};
    if (settings === undefined || endpoint === undefined) {
      this.#deps.counts.dropped += batch.length;
      return "done";
    }
    try {
      const { good, status, mayHelp } = await this.#export(batch, { ...settings, endpoint, timeoutMs });
      if (mayHelp) return "again";
      if (good) this.#deps.counts.sent += batch.length;
      else this.#drop(batch, `it said ${status}`);
      return "done";
    } catch {
      return "again";
    }
  }

  /** What the collector said, and whether it may be asked again. */
  async #export(
    batch: readonly OtlpSpan[],
    o: TracingSettings & { readonly endpoint: string; readonly timeoutMs: number },
  ): Promise<{ readonly good: boolean; readonly status: number; readonly mayHelp: boolean }> {
    const { subrequests } = this.#deps;
    const { protocol = "grpc", serviceName = "fairway", timeoutMs } = o;
    const pool = o.pool === undefined ? {} : { pool: o.pool };
    if (protocol === "grpc") {
      const status = await subrequests.call({
        url: o.endpoint,
        ...pool,
        path: method,
        message: encodeExport(batch, serviceName),
        timeoutMs,
      });
      return { good: status === 0, status, mayHelp: againByGrpc.has(status) };
    }
    const json = protocol === "http/json";
    const { status } = await subrequests.send({
      method: "POST",
      url: `${o.endpoint}/v1/traces`,
      ...pool,
      headers: [{ name: "content-type", value: json ? "application/json" : "application/x-protobuf" }],
      body: json ? Buffer.from(printExport(batch, serviceName)) : encodeExport(batch, serviceName),
      bodyBytes: 0,
      timeoutMs,
    });
    return { good: status >= 200 && status < 300, status, mayHelp: again.has(status) };
  }

  #drop(batch: readonly OtlpSpan[], why: string): void {
    this.#deps.counts.dropped += batch.length;
    this.#deps.log(`${batch.length} spans did not reach the collector ${this.#deps.settings()?.endpoint ?? ""}: ${why}`);
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await this.#deps.clock.sleep(ms, signal).catch(() => undefined);
  }
}
