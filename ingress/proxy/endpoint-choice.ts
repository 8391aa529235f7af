import { affinityCookie, affinityValue, type CookieOccasion } from "../balance/affinity.ts";
import { backendsFor, pickBackend } from "../route/backend-choice.ts";
import { cookieValue, headerValue, normalizeHost } from "../route/request-head.ts";
import type { Forwarding, HashBalance, Pool } from "../route/route.ts";
import type { UpstreamAddress } from "../upstream/connection.ts";
import type { HashChoice, Picked } from "../upstream/endpoint-picker.ts";
import type { ProxyContext } from "./context.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";
import { requestHash } from "./hash-key.ts";
import { textSource } from "./text-source.ts";

/** Who asks, and what was tried for it before. */
export interface ChoiceState {
  readonly request: IncomingRequest;
  readonly client: ClientIdentity;
  readonly requestId: string;
  /** The pool chosen by an earlier try: it stays chosen while its endpoints are tried. */
  readonly pool: Pool | undefined;
  readonly tried: ReadonlySet<string>;
  readonly now: number;
}

export interface EndpointChoice {
  readonly pool: Pool;
  /** Absent: none of its endpoints may be asked. */
  readonly picked: Picked | undefined;
  /** A Set-Cookie value that binds the client to this endpoint. */
  readonly setCookie: string | undefined;
}

/** Backend, then endpoint, by the newest table: by the client's cookie, else as the route balances. */
export function chooseEndpoint(context: ProxyContext, forward: Forwarding, state: ChoiceState): EndpointChoice | undefined {
  const { table, picker, random } = context;
  const { request, tried } = state;
  const { affinity } = forward;
  const candidates = backendsFor(forward, request.fields, table.pools);
  const cookie = affinity === undefined ? undefined : cookieValue(request.fields, affinity.cookie);
  const weighed = state.pool?.id ?? pickBackend(candidates, random())?.pool;
  if (cookie !== undefined && (state.pool === undefined || affinity?.changeOnFailure === false)) {
    for (const backend of affinity?.ignoredByWeights === true ? candidates.filter((b) => b.pool === weighed) : candidates) {
      const pool = table.pools.get(backend.pool);
      const picked = pool === undefined ? undefined : picker.pickByCookie(pool, cookie, tried);
      if (pool !== undefined && picked !== undefined) return { pool, picked, setCookie: undefined };
    }
  }
  const pool = weighed === undefined ? undefined : table.pools.get(weighed);
  if (pool === undefined) return undefined;
  const picked = picker.pick(pool, {
    balance: forward.balance,
    tried,
    now: state.now,
    random: random(),
    hash: forward.hash === undefined ? undefined : hashChoice(context, forward.hash, state),
    maxRequests: forward.maxRequestsPerEndpoint,
  });
  const binds = affinity !== undefined && picked !== undefined;
  const setCookie = binds ? affinityCookie(affinity, affinityValue(pool.id, picked.endpoint), occasionOf(context, state)) : undefined;
  return { pool, picked, setCookie };
}

function occasionOf(context: ProxyContext, { client, request }: ChoiceState): CookieOccasion {
  return { secure: client.secure, now: context.clock.now(), userAgent: headerValue(request.fields, "user-agent") ?? "" };
}

function hashChoice({ clock }: ProxyContext, hash: HashBalance, { request, client, requestId }: ChoiceState): HashChoice {
  const value = requestHash(hash, textSource(request, client, { requestId, clock }));
  return {
    value,
    algorithm: hash.algorithm,
    ...(hash.bound === undefined ? {} : { bound: hash.bound }),
    ...(hash.subsetSize === undefined ? {} : { subsetSize: hash.subsetSize }),
  };
}

/** Where a connection to the endpoint leads, on the route's terms; `host` is what the request will ask for. */
export function upstreamAddress(picked: Picked, forward: Forwarding, host: string): UpstreamAddress {
  const { protocol, tls } = forward;
  if (protocol === "http" || protocol === "grpc") return picked.plain;
  const { ip, port } = picked.endpoint;
  const name = tls?.name ?? normalizeHost(host);
  if (tls === undefined) return { ip, port, tls: true, serverName: name };
  return { ip, port, tls: true, tlsOptions: tls, expectedName: name, ...(tls.sendServerName ? { serverName: name } : {}) };
}
