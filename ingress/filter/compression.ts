import {
  type BrotliCompress,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  type Gzip,
  type ZstdCompress,
} from "node:zlib";
import type { CompressionSettings } from "../route/proxy-settings.ts";
import { headerValue } from "../route/request-head.ts";
import { type Coding, preferredCoding } from "./accept-encoding.ts";
import type { MakeResponseStep, ResponseHead, ResponseOutlet, ResponseSource, ResponseStep } from "./response-step.ts";

export interface CompressedRequest {
  readonly method: string;
  readonly headers: readonly string[];
}

/** Compresses answers as the settings and the client want it; what passes as it is costs a look at its head. */
export function compressionStep(settings: CompressionSettings, request: CompressedRequest): MakeResponseStep {
  return (next, source) => new CompressionStep(settings, request, next, source);
}

type Compressor = Gzip | BrotliCompress | ZstdCompress;

class CompressionStep implements ResponseStep {
  readonly #settings: CompressionSettings;
  readonly #request: CompressedRequest;
  readonly #next: ResponseOutlet;
  readonly #source: ResponseSource;
  #compressor: Compressor | undefined;
  /** Bytes went in since the last flush, of a body whose end is not in sight: its reader may wait for them. */
  #unflushed = false;
  #streams = false;

  constructor(settings: CompressionSettings, request: CompressedRequest, next: ResponseOutlet, source: ResponseSource) {
    this.#settings = settings;
    this.#request = request;
    this.#next = next;
    this.#source = source;
  }

  head(head: ResponseHead): void {
    if (!isCompressible(head, this.#settings)) {
      this.#next.head(head);
      return;
    }
    const coding = preferredCoding(headerValue(this.#request.headers, "accept-encoding"), offeredBy(this.#settings));
    // another client may get another answer
    const varying = { ...head, headers: withVary(head.headers) };
    if (coding === undefined || this.#request.method === "HEAD" || head.framing.kind === "none") {
      this.#next.head(varying);
      return;
    }
    this.#streams = head.framing.kind !== "length";
    this.#start(makeCompressor(coding, this.#settings, head));
    this.#next.head({ ...varying, headers: codedHeaders(varying.headers, coding), framing: { kind: "chunked" } });
  }

  #start(compressor: Compressor): void {
    this.#compressor = compressor;
    compressor.on("data", (bytes: Buffer) => {
      if (!this.#next.body(bytes)) compressor.pause();
    });
    compressor.on("drain", () => this.#source.drained());
    compressor.on("error", () => this.abort());
  }

  body(bytes: Buffer): boolean {
    if (this.#compressor === undefined) return this.#next.body(bytes);
    this.#unflushed = true;
    return this.#compressor.write(Buffer.from(bytes));
  }

  flush(): void {
    if (this.#compressor === undefined) {
      this.#next.flush();
      return;
    }
    if (!this.#streams || !this.#unflushed) return;
    this.#unflushed = false;
    this.#compressor.flush(() => this.#next.flush());
  }

  complete(trailers: string, now: number): void {
    const compressor = this.#compressor;
    if (compressor === undefined) {
      this.#next.complete(trailers, now);
      return;
    }
    compressor.once("end", () => {
      this.#compressor = undefined;
      this.#next.complete(trailers, now);
    });
    compressor.end();
  }

  abort(): void {
    this.close();
    this.#next.abort();
  }

  drained(): void {
    if (this.#compressor === undefined) this.#source.drained();
    // what is held here goes first; the source goes on when the compressor asks for more
    else this.#compressor.resume();
  }

  close(): void {
    const compressor = this.#compressor;
    if (compressor === undefined) return;
    this.#compressor = undefined;
    compressor.removeAllListeners();
    compressor.on("error", () => undefined);
    compressor.destroy();
  }
}

function offeredBy({ zstd, brotli, gzip }: CompressionSettings): readonly Coding[] {
  const offered: Coding[] = [];
  if (zstd !== undefined) offered.push("zstd");
  if (brotli !== undefined) offered.push("br");
  if (gzip !== undefined) offered.push("gzip");
  return offered;
}

/** Whether a body like this may be changed on its way (RFC 9110 section 7.7), and is worth it. */
function isCompressible({ status, headers, framing }: ResponseHead, { types, minBytes }: CompressionSettings): boolean {
  if (status < 200 || status === 204 || status === 206 || status === 304) return false;
  if (framing.kind === "length" && framing.bytes < minBytes) return false;
  let type = "";
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] ?? "";
    switch ((headers[i] ?? "").toLowerCase()) {
      case "content-encoding":
        if (value.trim().toLowerCase() !== "identity") return false;
        break;
      case "content-range":
        return false;
      case "cache-control":
        if (/\bno-transform\b/i.test(value)) return false;
        break;
      case "content-length":
        // the answer to HEAD has a length without a body
        if (Number(value) < minBytes) return false;
        break;
      case "content-type":
        type = (value.split(";", 1)[0] ?? "").trim().toLowerCase();
    }
  }
  if (type === "" || type.startsWith("application/grpc")) return false;
  return type === "text/html" || types.includes(type) || types.includes("*");
}

function withVary(headers: readonly string[]): readonly string[] {
  for (let i = 0; i < headers.length; i += 2)
    if ((headers[i] ?? "").toLowerCase() === "vary" && /(^|[\s,])(accept-encoding|\*)($|[\s,])/i.test(headers[i + 1] ?? "")) return headers;
  return [...headers, "Vary", "Accept-Encoding"];
}

/** Of the body as it was before: its length, its sums, and that parts of it can be had. */
const ofTheBytes: ReadonlySet<string> = new Set(["content-length", "accept-ranges", "content-md5", "content-digest", "content-encoding"]);

function codedHeaders(headers: readonly string[], coding: Coding): readonly string[] {
  const out: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const value = headers[i + 1] ?? "";
    const lower = name.toLowerCase();
    if (ofTheBytes.has(lower)) continue;
    // the same for a reader, no longer byte by byte
    out.push(name, lower === "etag" && !value.startsWith("W/") ? `W/${value}` : value);
  }
  out.push("Content-Encoding", coding);
  return out;
}

/** 256 KiB instead of the megabytes that brotli would take for a body of unknown length. */
const brotliWindowBits = 18;
const chunkSize = 16 * 1024;

function makeCompressor(coding: Coding, s: CompressionSettings, head: ResponseHead): Compressor {
  switch (coding) {
    case "gzip":
      return createGzip({ level: s.gzip?.level ?? 1, chunkSize, flush: constants.Z_NO_FLUSH });
    case "br":
      return createBrotliCompress({
        chunkSize,
        params: {
          [constants.BROTLI_PARAM_QUALITY]: s.brotli?.level ?? 4,
          [constants.BROTLI_PARAM_LGWIN]: brotliWindowBits,
          [constants.BROTLI_PARAM_SIZE_HINT]: head.framing.kind === "length" ? Math.min(head.framing.bytes, 2 ** 30) : 0,
        },
      });
    case "zstd":
      return createZstdCompress({ chunkSize, params: { [constants.ZSTD_c_compressionLevel]: s.zstd?.level ?? 3 } });
  }
}
