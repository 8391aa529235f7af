import type { DnsAddress } from "../config/dns-config.ts";
import { type Accepting, type AcceptLimits, type AcceptOptions, acceptConnections } from "./accept.ts";
import type { QueryEngine } from "./engine.ts";
import { type StreamLimits, serveStream } from "./stream-connection.ts";

export interface TcpLimits extends AcceptLimits, StreamLimits {}

export const defaultTcpLimits: TcpLimits = { idle: 10_000, connections: 1000, connectionsPerClient: 100, pipelined: 100 };

export interface StreamOptions extends AcceptOptions {
  readonly limits: TcpLimits;
}

/** One listening TCP socket. */
export function startTcpListener(at: DnsAddress, engine: QueryEngine, options: StreamOptions): Accepting {
  const { limits } = options;
  return acceptConnections(at, options, (socket, client) => serveStream(socket, { client, engine, limits, transport: "tcp" }));
}
