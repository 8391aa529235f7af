import type { Duplex } from "node:stream";
import type { ApiError } from "../api/status-error.ts";
import type { Turn } from "../store/cache-table.ts";

/** Where a stream goes. */
export interface Outlet {
  /** Bytes that the client has not taken yet. */
  readonly waiting: number;
  write(bytes: Uint8Array): void;
  /** Resolves at once unless much is waiting; else when the client has taken it or has gone, or the signal aborts. */
  drained(signal: AbortSignal): Promise<void>;
}

/** What a handler returns; one place (send.ts) puts it on the wire. */
export type Answer =
  | {
      readonly kind: "bytes";
      readonly status: number;
      readonly type: string;
      /** In pieces, so that a large list is not copied before it is compressed or sent. */
      readonly body: readonly Uint8Array[];
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Sent as it comes; over when `run` returns. The signal aborts when the client leaves or the server closes. */
  | { readonly kind: "stream"; readonly type: string; readonly turn: Turn; run(out: Outlet, signal: AbortSignal): Promise<void> }
  /** Another server's answer, passed on with its own status and headers. */
  | {
      readonly kind: "relay";
      readonly status: number;
      readonly headers: Readonly<Record<string, string | string[]>>;
      readonly body: AsyncIterable<Uint8Array>;
    }
  /** The connection is joined with another one, byte by byte, `first` having been read already. */
  | { readonly kind: "tunnel"; readonly to: Duplex; readonly first: Uint8Array };

const encoder = new TextEncoder();

export function json(value: unknown, status = 200): Answer {
  return jsonBytes(encoder.encode(JSON.stringify(value)), status);
}

export function jsonBytes(body: Uint8Array, status = 200): Answer {
  return { kind: "bytes", status, type: "application/json", body: [body] };
}

export function plainText(text: string, status = 200): Answer {
  return { kind: "bytes", status, type: "text/plain; charset=utf-8", body: [encoder.encode(text)] };
}

export function failure(error: ApiError): Answer {
  const answer = json(error.toStatus(), error.code);
  const seconds = error.details?.retryAfterSeconds;
  return seconds === undefined || answer.kind !== "bytes" ? answer : { ...answer, headers: { "retry-after": String(seconds) } };
}
