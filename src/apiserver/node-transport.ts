import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Agent, request } from "node:https";
import type { Duplex } from "node:stream";
import { findResource } from "../api/scheme.ts";
import { ApiError, notFound } from "../api/status-error.ts";
import type { Node } from "../api/types/core-v1.generated.ts";
import { parseIp } from "../base/ip.ts";
import type { Answer } from "./answer.ts";
import type { KeyPair } from "./pki.ts";
import type { Registry } from "./registry.ts";

const connectTimeout = 10_000;
const defaultNodePort = 10250;

/** Another server's answer. */
export type Relay = Extract<Answer, { readonly kind: "relay" }>;

/** A request to a node's own API. */
export interface NodeRequest {
  readonly node: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

/** Speaks to nodes over mutual TLS: the address and port are what the Node says of itself. */
export class NodeTransport {
  readonly #agent: Agent;
  readonly #registry: Registry;

  constructor(options: { readonly registry: Registry; readonly caPem: string; readonly client: KeyPair }) {
    this.#registry = options.registry;
    this.#agent = new Agent({ ca: options.caPem, cert: options.client.certPem, key: options.client.keyPem, keepAlive: false });
  }

  /** Passes the request on; an Upgrade that the node accepts becomes a tunnel. 502 when the node cannot be reached. */
  send(out: NodeRequest): Promise<Answer> {
    const { host, port } = this.#addressOf(out.node);
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const upstream = request({
      agent: this.#agent,
      host,
      port,
      method: out.method,
      path: out.path,
      headers: passedOn(out.headers, out.body),
      signal: out.signal,
      timeout: connectTimeout,
    });
    const fail = (error: Error): void => reject(unreachableNode(out.node, `${host}:${port}`, error));
    upstream.on("timeout", () => upstream.destroy(new Error(`no answer within ${connectTimeout / 1000} s`)));
    upstream.on("socket", (socket) => socket.once("secureConnect", () => upstream.setTimeout(0)));
    upstream.on("error", fail);
    upstream.on("response", (response) => resolve(relayOf(response)));
    upstream.on("upgrade", (response: IncomingMessage, socket: Duplex, head: Buffer) => {
      resolve({ kind: "tunnel", to: socket, first: Buffer.concat([headOf(response), head]) });
    });
    upstream.end(out.body);
    return promise;
  }

  close(): void {
    this.#agent.destroy();
  }

  #addressOf(name: string): { readonly host: string; readonly port: number } {
    const nodes = findResource("", "v1", "nodes");
    const node = nodes === undefined ? undefined : (this.#registry.find(nodes, name)?.object as Node | undefined);
    if (node === undefined) throw notFound({ group: "", plural: "nodes", kind: "Node" }, name);
    const host = (node.status?.addresses ?? []).find((a) => a.type === "InternalIP")?.address ?? "";
    if (parseIp(host) === undefined) throw new ApiError(503, "ServiceUnavailable", `node ${name} has no InternalIP yet`);
    return { host, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port || defaultNodePort };
  }
}

/** Headers that are for this hop only (RFC 9110 section 7.6.1), and those that would tell the node who asked. */
const notPassed = new Set([
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "proxy-connection",
  "host",
  "authorization",
  "content-length",
  "accept-encoding",
]);

export function passedOn(headers: IncomingHttpHeaders, body: Uint8Array | undefined): OutgoingHttpHeaders {
  const out: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers))
    if (!notPassed.has(name) && !name.startsWith(":") && value !== undefined) out[name] = value;
  if (headers.upgrade !== undefined) Object.assign(out, { connection: "Upgrade", upgrade: headers.upgrade });
  if (body !== undefined && body.length > 0) out["content-length"] = body.length;
  return out;
}

/** The other server's answer, without what was meant for the connection to it. */
export function relayOf(response: IncomingMessage): Relay {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(response.headers))
    if ((!notPassed.has(name) || name === "content-length") && value !== undefined) headers[name] = value;
  return { kind: "relay", status: response.statusCode ?? 502, headers, body: response };
}

/** The head of a response that switched protocols, as it has to go to the client. */
export function headOf(response: IncomingMessage): Buffer {
  const lines = [`HTTP/1.1 ${response.statusCode} ${response.statusMessage}`];
  for (let i = 0; i < response.rawHeaders.length; i += 2) lines.push(`${response.rawHeaders[i]}: ${response.rawHeaders[i + 1]}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function unreachableNode(node: string, address: string, error: Error): ApiError {
  return new ApiError(502, "BadGateway", `node ${node} cannot be reached at ${address}: ${error.message}`);
}
