import type { EventEmitter } from "node:events";
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { Http2Session } from "node:http2";
import type { TLSSocket } from "node:tls";

/** A request of HTTP/1.1 or HTTP/2, as far as both are alike. */
export interface WireRequest extends EventEmitter {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly socket: unknown;
  /** HTTP/1.1 only: repeated headers, one by one. */
  readonly headersDistinct?: NodeJS.Dict<string[]> | undefined;
  /** HTTP/2 only. */
  readonly stream?: { readonly session?: Http2Session | undefined } | undefined;
}

export interface WireResponse extends EventEmitter {
  readonly writableLength: number;
  readonly writableEnded: boolean;
  writeHead(status: number, headers?: OutgoingHttpHeaders): unknown;
  /** HTTP/1.1 only: HTTP/2 sends them at once. */
  flushHeaders?(): void;
  /** What is written from here on leaves together, by `uncork`: in that very call. */
  cork(): void;
  uncork(): void;
  write(bytes: Uint8Array): boolean;
  end(): unknown;
  end(bytes: Uint8Array): unknown;
  destroy(error?: Error): unknown;
}

/** The TLS connection below: the same value for all requests on it. */
export function connectionOf(request: WireRequest): TLSSocket {
  return (request.stream?.session?.socket ?? request.socket) as TLSSocket;
}

/** All values of each header; HTTP/2 brings repeated ones joined. */
export function distinctHeaders(request: WireRequest): NodeJS.Dict<string[]> {
  if (request.headersDistinct !== undefined) return request.headersDistinct;
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, [value ?? []].flat().flatMap((v) => v.split(", "))]),
  );
}
