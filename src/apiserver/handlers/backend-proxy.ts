import { type IncomingMessage, request as requestHttp } from "node:http";
import { Agent, request as requestHttps } from "node:https";
import type { Duplex } from "node:stream";
import { findResource } from "../../api/scheme.ts";
import { ApiError, badRequest, notFound, unavailable } from "../../api/status-error.ts";
import type { Pod, Service } from "../../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../api/types/discovery-v1.generated.ts";
import { ipFamily } from "../../base/ip.ts";
import type { Answer } from "../answer.ts";
import { isBackendAddress } from "../backend-address.ts";
import type { Call } from "../call.ts";
import { headOf, passedOn, type Relay, relayOf } from "../node-transport.ts";
import { changeLinks, type ProxiedPlace, throughProxy } from "../proxied-links.ts";
import { keyOf } from "../registry.ts";

/** Where a proxy request goes. */
interface Backend {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
}

/** `[scheme:]name[:port]`, as proxy paths name a pod or Service. */
export interface ProxyName {
  readonly scheme: "http" | "https";
  readonly name: string;
  readonly port: string;
}

const connectTimeout = 10_000;
/** What pods serve over TLS is signed by anybody: the connection is not used to tell who they are, as in Kubernetes. */
const anyCertificate = new Agent({ rejectUnauthorized: false, keepAlive: false });

export async function proxyToPod(call: Call): Promise<Answer> {
  const { scheme, name, port } = parseProxyName(call.info.name);
  const pod = call.context.registry.find(call.resource, keyOf(call.info.namespace, name))?.object as Pod | undefined;
  if (pod === undefined) throw notFound(call.resource, name);
  const host = pod.status?.podIP ?? "";
  if (host === "") throw unavailable(`pod ${name} has no address yet`);
  const first = (pod.spec?.containers ?? []).flatMap((c) => c.ports ?? [])[0]?.containerPort ?? 80;
  const named = (pod.spec?.containers ?? []).flatMap((c) => c.ports ?? []).find((p) => p.name === port)?.containerPort;
  const number = port === "" ? first : /^\d+$/.test(port) ? Number(port) : named;
  if (number === undefined) throw unavailable(`pod ${name} has no port ${JSON.stringify(port)}`);
  return pass(call, { scheme, host, port: number });
}

export async function proxyToService(call: Call): Promise<Answer> {
  const { scheme, name, port } = parseProxyName(call.info.name);
  const { registry, random } = call.context;
  const service = registry.find(call.resource, keyOf(call.info.namespace, name))?.object as Service | undefined;
  if (service === undefined) throw notFound(call.resource, name);
  const ports = service.spec?.ports ?? [];
  const wanted = port === "" ? (ports.length === 1 ? ports[0] : undefined) : ports.find((p) => p.name === port || String(p.port) === port);
  if (wanted === undefined) throw unavailable(`no service port ${JSON.stringify(port)} found for service ${JSON.stringify(name)}`);
  const slices = findResource("discovery.k8s.io", "v1", "endpointslices");
  const ready = (slices === undefined ? [] : registry.all(slices, call.info.namespace).map((o) => o as unknown as EndpointSlice))
    .filter((s) => s.metadata?.labels?.["kubernetes.io/service-name"] === name)
    .flatMap((s) => {
      const number = (s.ports ?? []).find((p) => (p.name ?? "") === (wanted.name ?? ""))?.port;
      const usable = (s.endpoints ?? []).filter((e) => e.conditions?.ready !== false);
      return number === undefined
        ? []
        : usable.flatMap((e) => (e.addresses ?? []).slice(0, 1)).map((host) => ({ scheme, host, port: number }));
    });
  const chosen = ready[Math.floor(random() * ready.length)];
  if (chosen === undefined) throw unavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  return pass(call, chosen);
}

export function parseProxyName(text: string): ProxyName {
  const parts = text.split(":");
  const [first = "", second = "", third = ""] = parts;
  if (parts.length === 3 && (first === "http" || first === "https")) return { scheme: first, name: second, port: third };
  if (parts.length > 2) throw badRequest(`invalid proxy target ${JSON.stringify(text)}`);
  return { scheme: "http", name: first, port: second };
}

async function pass(call: Call, { scheme, host, port }: Backend): Promise<Answer> {
  const away = toItsRoot(call);
  if (away !== undefined) return away;
  if (!isBackendAddress(host, call.context.loopback)) throw new ApiError(403, "Forbidden", `address ${host} is not allowed`);
  const body = await call.body();
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const query = queryOf(call);
  const own = `${ipFamily(host) === 6 ? `[${host}]` : host}:${port}`;
  const options = {
    host,
    port,
    method: call.method,
    path: `/${call.info.rest}${query}`,
    headers: { ...passedOn(call.headers, body), host: own, "x-forwarded-uri": call.info.path },
    signal: call.signal,
    timeout: connectTimeout,
  };
  const upstream = scheme === "https" ? requestHttps({ ...options, agent: anyCertificate }) : requestHttp(options);
  upstream.on("timeout", () => upstream.destroy(new Error(`no answer within ${connectTimeout / 1000} s`)));
  upstream.on("error", (error) => reject(unavailable(`error trying to reach service: ${error.message}`)));
  const place: ProxiedPlace = { prefix: prefixOf(call), hosts: [own, call.headers.host ?? own] };
  upstream.on("response", (response) => resolve(withLinksThrough(place, relayOf(response))));
  upstream.on("upgrade", (response: IncomingMessage, socket: Duplex, head: Buffer) => {
    resolve({ kind: "tunnel", to: socket, first: Buffer.concat([headOf(response), head]) });
  });
  upstream.end(body);
  return promise;
}

function queryOf(call: Call): string {
  const query = new URLSearchParams(call.query).toString();
  return query === "" ? "" : `?${query}`;
}

/** The path that stands for the backend's root, without a slash at the end. */
function prefixOf({ info }: Call): string {
  return info.path.slice(0, info.path.length - info.rest.length).replace(/\/$/, "");
}

/** A page's relative links need the slash behind `proxy`: a browser is sent there first. */
function toItsRoot(call: Call): Answer | undefined {
  const { info, method, headers } = call;
  if (info.path.endsWith("/") || info.rest !== "" || headers.upgrade !== undefined || (method !== "GET" && method !== "HEAD"))
    return undefined;
  return { kind: "bytes", status: 301, type: "text/plain", body: [], headers: { location: `${info.path}/${queryOf(call)}` } };
}

/** A larger page goes through as it is. */
const longestPage = 4 << 20;

/** Redirects and the links of pages lead back through the proxy, as Kubernetes has it. */
function withLinksThrough(place: ProxiedPlace, relay: Relay): Answer {
  const { location, "content-type": type, "content-encoding": encoding, "content-length": length, ...rest } = relay.headers;
  if (typeof location === "string") return { ...relay, headers: { ...relay.headers, location: throughProxy(place, location) } };
  const isPage = typeof type === "string" && /^text\/html\s*(;|$)/i.test(type) && encoding === undefined;
  if (!isPage || Number(length ?? 0) > longestPage) return relay;
  return { ...relay, headers: { ...rest, "content-type": type }, body: changedPage(place, relay.body) };
}

async function* changedPage(place: ProxiedPlace, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    parts.push(part);
    size += part.length;
    if (size <= longestPage) continue;
    yield* parts;
    parts = [];
  }
  if (size > longestPage) {
    yield* parts;
    return;
  }
  // Byte by byte, so that no encoding of the page is lost: tags are ASCII in all of them.
  const page = Buffer.concat(parts).toString("latin1");
  yield Buffer.from(
    changeLinks(page, (address) => throughProxy(place, address)),
    "latin1",
  );
}
