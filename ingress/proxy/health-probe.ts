import { printHostPort } from "../../src/base/ip.ts";
import { headerValue, normalizeHost } from "../route/request-head.ts";
import type { HealthCheck, PoolEndpoint } from "../route/route.ts";
import type { UpstreamAddress } from "../upstream/connection.ts";
import type { ResponseSink, UpstreamChannel, UpstreamHead } from "../upstream/upstream-channel.ts";
import type { PendingConnect } from "../upstream/upstream-pool.ts";
import { noBody } from "../upstream/wire/body-framing.ts";
import type { ProxyContext } from "./context.ts";

/** Asks one endpoint once whether it is well; `settle` is told once, later or at once, and not after the cancel that is given back. */
export function probe(
  context: ProxyContext,
  o: { readonly health: HealthCheck; readonly endpoint: PoolEndpoint; readonly now: number },
  settle: (well: boolean) => void,
): () => void {
  let channel: UpstreamChannel | undefined;
  let over = false;
  const end = (well: boolean): void => {
    if (over) return;
    over = true;
    settle(well);
  };
  const ask = (c: UpstreamChannel): void => {
    channel = c;
    const { asks, host = printHostPort(o.endpoint.ip, o.endpoint.port) } = o.health;
    if (asks.kind === "http") askHttp(c, { host, path: asks.path }, end);
    else askGrpc(c, { host, service: asks.service }, end);
  };
  const pending = connect(context, o, { onReady: ask, onError: () => end(false) });
  return () => {
    over = true;
    pending.cancel();
    channel?.abort();
  };
}

function connect(
  { pool, http2 }: ProxyContext,
  { health, endpoint, now }: { readonly health: HealthCheck; readonly endpoint: PoolEndpoint; readonly now: number },
  { onReady, onError }: { readonly onReady: (c: UpstreamChannel) => void; readonly onError: () => void },
): PendingConnect {
  const { ip, port } = endpoint;
  const address: UpstreamAddress = {
    ip,
    port,
    tls: health.tls,
    ...(health.tls && health.host !== undefined ? { serverName: normalizeHost(health.host) } : {}),
  };
  // of HTTP/1 always a new connection: whether one can be made is a part of the question
  return health.asks.kind === "http" ? pool.connect(address, onReady, onError) : http2.open(address, now, { onReady, onError });
}

const nothing = (): void => undefined;
const deaf = { onInformational: nothing, onBody: nothing, onTrailers: nothing, onBatchEnd: nothing, onDrain: nothing, onComplete: nothing };

/** The head decides; nobody waits for the body. */
function askHttp(
  channel: UpstreamChannel,
  { host, path }: { readonly host: string; readonly path: string },
  end: (well: boolean) => void,
): void {
  const sink: ResponseSink = {
    ...deaf,
    onHead: (response) => {
      end(response.status >= 200 && response.status < 400);
      channel.abort();
    },
    onSwitched: (_response, switched) => {
      end(false);
      switched.abort();
    },
    onFailure: () => end(false),
  };
  const head: UpstreamHead = {
    method: "GET",
    switching: false,
    framing: noBody,
    text: () => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: fairway-health\r\nConnection: close\r\n\r\n`,
    fields: () => [":method", "GET", ":path", path, ":authority", host],
  };
  channel.begin(head, sink);
}

/** Of an answer that says more than whether it is well. */
const mostBytes = 1024;

/** grpc.health.v1.Health/Check: well is SERVING, with status 0. */
function askGrpc(
  channel: UpstreamChannel,
  { host, service }: { readonly host: string; readonly service: string },
  end: (well: boolean) => void,
): void {
  let body = Buffer.alloc(0);
  let status: string | undefined;
  const fail = (): void => {
    end(false);
    channel.abort();
  };
  const sink: ResponseSink = {
    ...deaf,
    onHead: (response) => {
      status = headerValue(response.fields, "grpc-status");
      if (response.status !== 200) fail();
    },
    onBody: (bytes) => {
      body = Buffer.concat([body, bytes]);
      if (body.length > mostBytes) fail();
    },
    onTrailers: (text) => {
      status = /^grpc-status:\s*(\d+)\s*$/im.exec(text)?.[1] ?? status;
    },
    onComplete: () => end(status === "0" && isServing(body)),
    onSwitched: (_response, switched) => switched.abort(),
    onFailure: () => end(false),
  };
  const question = healthRequest(service);
  const fields = ["content-type", "application/grpc", "te", "trailers", "user-agent", "fairway-health"];
  const head: UpstreamHead = {
    method: "POST",
    switching: false,
    framing: { kind: "length", bytes: question.length },
    text: () => "",
    fields: () => [":method", "POST", ":path", "/grpc.health.v1.Health/Check", ":authority", host, ...fields],
  };
  channel.begin(head, sink);
  channel.sendBody(question);
  channel.sendEnd("");
}

/** A message of gRPC: not compressed, its length, and `string service = 1` of HealthCheckRequest. */
function healthRequest(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** `status = 1` of HealthCheckResponse is 1, SERVING. */
function isServing(body: Buffer): boolean {
  return body.length >= 7 && body[0] === 0 && body.readUInt32BE(1) === body.length - 5 && body[5] === 0x08 && body[6] === 1;
}
