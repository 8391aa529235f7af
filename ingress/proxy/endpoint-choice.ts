import { affinityCookie, affinityValue, type CookieOccasion, newSessionKey, sessionKey, sessionValue } from "../balance/affinity.ts";
import { hashOf } from "../balance/hash-ring.ts";
import { backendsFor, pickBackend } from "../route/backend-choice.ts";
import { cookieValue, headerValue, normalizeHost } from "../route/request-head.ts";
import type { TextPart } from "../route/request-text.ts";
import type { CookieAffinity, Forwarding, HashBalance, Pool, PoolId, WeightedBackend } from "../route/route.ts";
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

/** Backend, then endpoint, by the newest table: by the client's cookie, else as the backend's terms say. */
export function chooseEndpoint(context: ProxyContext, forward: Forwarding, state: ChoiceState): EndpointChoice | undefined {
  const { table, random } = context;
  const candidates = backendsFor(forward, state.request.fields, table.pools);
  const drawn = state.pool === undefined ? pickBackend(candidates, random()) : chosenBefore(candidates, state.pool.id);
  for (const backend of candidates) {
    const { affinity } = backend.terms ?? forward;
    if (affinity === undefined || (affinity.ignoredByWeights === true && backend.pool !== drawn?.pool)) continue;
    const pool = table.pools.get(backend.pool);
    const picked = pool === undefined ? undefined : boundEndpoint(context, { pool, affinity }, state);
    if (pool !== undefined && picked !== undefined) return { pool, picked, setCookie: undefined };
  }
  const pool = drawn === undefined ? undefined : table.pools.get(drawn.pool);
  if (pool === undefined) return undefined;
  const terms = drawn?.terms ?? forward;
  const { affinity } = terms;
  if (affinity?.mode === "balanced") return newSession(context, { pool, affinity }, state);
  const picked = context.picker.pick(pool, {
    balance: terms.balance,
    tried: state.tried,
    now: state.now,
    random: random(),
    hash: terms.hash === undefined ? undefined : hashChoice(context, terms.hash, state),
  });
  const binds = affinity !== undefined && picked !== undefined && !staysBound({ pool, affinity }, state);
  const setCookie = binds ? affinityCookie(affinity, affinityValue(pool.id, picked.endpoint), occasionOf(context, state)) : undefined;
  return { pool, picked, setCookie };
}

function chosenBefore(candidates: readonly WeightedBackend[], pool: PoolId): WeightedBackend {
  return candidates.find((b) => b.pool === pool) ?? { pool, weight: 1 };
}

interface Bond {
  readonly pool: Pool;
  readonly affinity: CookieAffinity;
}

/** The endpoint that the client's cookie leads to; after a failure, only where the cookie goes on to count. */
function boundEndpoint(context: ProxyContext, { pool, affinity }: Bond, state: ChoiceState): Picked | undefined {
  if (state.pool !== undefined && affinity.changeOnFailure) return undefined;
  const cookie = cookieValue(state.request.fields, affinity.cookie);
  if (cookie === undefined) return undefined;
  if (affinity.mode === "persistent") return context.picker.pickByCookie(pool, cookie, state.tried);
  const key = sessionKey(pool.id, cookie);
  return key === undefined ? undefined : pickBySession(context, pool, key, state);
}

function pickBySession(context: ProxyContext, pool: Pool, key: string, { tried, now }: ChoiceState): Picked | undefined {
  const hash = { value: hashOf(key), algorithm: "ring" } as const;
  return context.picker.pick(pool, { balance: "hash", hash, tried, now, random: 0 });
}

/** How often a key is drawn that leads to an endpoint which has not failed this request. */
const mostDraws = 20;

/** A place on the ring by chance, as at ingress-nginx; for who has failed at an endpoint, one that leads to another. */
function newSession(context: ProxyContext, { pool, affinity }: Bond, state: ChoiceState): EndpointChoice {
  let key = newSessionKey(context.requestIds.next());
  for (let i = 1; i < mostDraws && state.tried.has(context.picker.ringOwner(pool, hashOf(key), state.now) ?? ""); i++)
    key = newSessionKey(context.requestIds.next());
  const picked = pickBySession(context, pool, key, state);
  const setCookie = picked === undefined ? undefined : affinityCookie(affinity, sessionValue(pool.id, key), occasionOf(context, state));
  return { pool, picked, setCookie };
}

/** The client's own endpoint is there, and only out of order. */
function staysBound({ pool, affinity }: Bond, { request }: ChoiceState): boolean {
  const cookie = affinity.changeOnFailure ? undefined : cookieValue(request.fields, affinity.cookie);
  return cookie !== undefined && pool.endpoints.some((e) => affinityValue(pool.id, e) === cookie);
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

/** What texts of a route give for one request. */
export interface FilledTexts {
  /** What the request will ask for. */
  readonly host: string;
  fill(text: readonly TextPart[]): string;
}

/** Where a connection to the endpoint leads, on the route's terms. */
export function upstreamAddress(picked: Picked, forward: Forwarding, texts: FilledTexts): UpstreamAddress {
  const { protocol, tls } = forward;
  if (protocol === "http" || protocol === "grpc") return picked.plain;
  const { ip, port } = picked.endpoint;
  const name = expectedName(tls?.name, texts);
  if (tls === undefined) return { ip, port, tls: true, serverName: name };
  return { ip, port, tls: true, tlsOptions: tls, expectedName: name, ...(tls.sendServerName ? { serverName: name } : {}) };
}

/** The client may have a say in what variables give: what is no name is not put into a handshake. */
function expectedName(wanted: readonly TextPart[] | undefined, texts: FilledTexts): string {
  const name = wanted === undefined ? "" : texts.fill(wanted);
  return /^[\w.:-]{1,255}$/.test(name) ? name : normalizeHost(texts.host);
}
