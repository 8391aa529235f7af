import type { ObjectRef } from "../../src/snapshot/problem.ts";
import type { Filter } from "./filter.ts";
import type { ProxySettings } from "./proxy-settings.ts";
import type { TextPart } from "./request-text.ts";

/** Which hosts a route answers. A wildcard stands for exactly one label: suffix `.example.com` matches `a.example.com`. */
export type HostMatch =
  | { readonly kind: "exact"; readonly name: string }
  | { readonly kind: "wildcard"; readonly suffix: string }
  | { readonly kind: "any" };

/**
 * Which paths a route answers, compared with the normalised path (see normalizePath). `prefix` is by path elements,
 * `string` by characters, `regex` is anchored at the start; `fallback` takes what no other route of the host takes.
 */
export type PathMatch =
  | { readonly kind: "exact"; readonly path: string }
  | { readonly kind: "prefix"; readonly path: string }
  | { readonly kind: "string"; readonly path: string }
  | { readonly kind: "regex"; readonly pattern: string; readonly ignoreCase: boolean }
  | { readonly kind: "fallback" };

/** A test on one value: header, cookie or query parameter. Names of headers are lower case. */
export interface ValueMatch {
  readonly name: string;
  readonly value: { readonly kind: "exact"; readonly text: string } | { readonly kind: "regex"; readonly pattern: string };
}

export type PoolId = string;

/** Weights are relative to the sum of their list. A pool that is not in the table answers 503. */
export interface WeightedBackend {
  readonly pool: PoolId;
  readonly weight: number;
  /** Takes its share while it has no endpoint. */
  readonly standIn?: PoolId;
  /** How its endpoints are chosen, where not as the route says. */
  readonly terms?: BackendTerms;
}

export type BackendTerms = Pick<Forwarding, "balance" | "hash" | "affinity">;

/** A choice that overrides the weights: the first whose condition holds decides. */
export interface BackendOverride {
  readonly on: "header" | "cookie";
  readonly match: ValueMatch;
  readonly backends: readonly WeightedBackend[];
}

/**
 * A cookie that binds a client to an endpoint. `persistent`: to this one, while it is there. `balanced`: to a place on the hash ring of the
 * pool, so that endpoints that come get their share of those who are bound already.
 */
export interface CookieAffinity {
  readonly cookie: string;
  readonly mode: "balanced" | "persistent";
  readonly path: string;
  readonly maxAgeSeconds?: number;
  readonly domain?: string;
  readonly secure?: boolean;
  readonly sameSite?: string;
  /** Give the client another endpoint for good when its own fails; else it comes back to its own. */
  readonly changeOnFailure: boolean;
  /** Beside Max-Age, for clients that know only Expires. */
  readonly expiresSeconds?: number;
  /** SameSite=None only for clients that do not take it for Strict. */
  readonly conditionalSameSiteNone?: boolean;
  /** The cookie binds to an endpoint only: which of several backends is asked is drawn by weight each time. */
  readonly ignoredByWeights?: boolean;
}

/** Seconds without progress before the other side is given up. */
export interface UpstreamTimeouts {
  readonly connectSeconds: number;
  readonly sendSeconds: number;
  readonly readSeconds: number;
  /** From the start of a try until its answer begins; then another endpoint may be tried. Absent: no limit. */
  readonly trySeconds?: number;
  /** For the whole request: all tries, and the response to its end. Absent: no limit. */
  readonly requestSeconds?: number;
}

/** `ewma` is the power of two choices by peak EWMA. */
export type Balance = "round_robin" | "ewma" | "least_requests" | "hash";

/** What of a request decides its endpoint; the parts are joined. */
export interface HashBalance {
  readonly key: readonly TextPart[];
  readonly algorithm: "ring" | "maglev";
  /** Above 1: an endpoint with more than so many times its share is passed over. */
  readonly bound?: number;
  /** The key chooses so many endpoints, and chance one of them. */
  readonly subsetSize?: number;
}

/** nginx's words of proxy_next_upstream; `invalid_header` is an answer that is no HTTP. */
export type RetryOn = "error" | "timeout" | "invalid_header" | `http_${500 | 502 | 503 | 504 | 403 | 404 | 429}`;

export interface RetryPolicy {
  readonly on: readonly RetryOn[];
  /** Requests that are not idempotent too. */
  readonly nonIdempotent: boolean;
  /** No new try later than this after the request came; 0: no limit. */
  readonly withinSeconds: number;
}

export interface Mirror {
  /** Absent: the host of `url` is asked. */
  readonly pool?: PoolId;
  /** An http or https URL once filled; where there is a pool, it stands for its host. Absent: the request's own path and query. */
  readonly url?: readonly TextPart[];
  /** Sent as Host instead of the client's. */
  readonly host?: readonly TextPart[];
  /** Sent instead of the request's own path and query. */
  readonly target?: string;
  /** Bodies above what is kept for repetition (64 KiB) are not mirrored. */
  readonly withBody: boolean;
}

/** Text that takes the place of another; `to` may have `$1`…`$9` of a pattern. What a prefix leaves of the old text stays behind it. */
export type TextChange =
  | { readonly kind: "prefix" | "whole"; readonly from: readonly TextPart[]; readonly to: readonly TextPart[] }
  | { readonly kind: "regex"; readonly pattern: string; readonly ignoreCase: boolean; readonly to: readonly TextPart[] };

/** What is changed in an endpoint's answer before the client gets it; of each list the first that fits. */
export interface AnswerChanges {
  /** In Location and Refresh, as nginx's proxy_redirect. */
  readonly location?: readonly TextChange[];
  /** In the Domain of each Set-Cookie; a leading dot and case do not count. */
  readonly cookieDomain?: readonly TextChange[];
  /** In the Path of each Set-Cookie. */
  readonly cookiePath?: readonly TextChange[];
  /** Names of headers, lower case, that the client does not get. */
  readonly hide?: readonly string[];
}

/**
 * Answers with these statuses are taken for errors: `pool` is asked for the page (GET, with X-Code, X-Format, X-Original-URI,
 * X-Namespace, X-Ingress-Name, X-Service-Name, X-Service-Port, X-Request-ID as ingress-nginx has them), and answers as it
 * likes. Without one, or where it has no endpoint, the client gets this proxy's own page of that status.
 */
export interface ErrorPages {
  readonly statuses: readonly number[];
  readonly pool?: PoolId;
}

/** How TLS to endpoints is spoken. PEM texts. */
export interface UpstreamTls {
  /** The endpoint's certificate must be good for `name`, by `ca` (the system's authorities when absent). */
  readonly verify: boolean;
  /** Absent: the host that is asked for. */
  readonly name?: readonly TextPart[];
  /** Send the name in the handshake (SNI). */
  readonly sendServerName: boolean;
  /** How many certificates may stand between the endpoint's and an authority; absent: any. */
  readonly verifyDepth?: number;
  readonly ca?: string;
  /** What this proxy shows of itself. */
  readonly certificate?: string;
  readonly key?: string;
  /** As OpenSSL writes lists of ciphers. */
  readonly ciphers?: string;
  /** By default 1.2 and 1.3. */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
}

export interface Forwarding {
  readonly kind: "forward";
  readonly backends: readonly WeightedBackend[];
  readonly overrides: readonly BackendOverride[];
  /** What endpoints speak: HTTP/1.1, or HTTP/2 where it says grpc; the ones with s over TLS. */
  readonly protocol: "http" | "https" | "grpc" | "grpcs";
  /** For https and grpcs; absent: nothing is verified, the host is sent as server name. */
  readonly tls?: UpstreamTls;
  /** Sent as Host instead of the client's. */
  readonly host?: readonly TextPart[];
  readonly timeouts: UpstreamTimeouts;
  /** How many endpoints may be tried for one request, the first included. */
  readonly tries: number;
  readonly balance: Balance;
  /** Where `balance` is hash. */
  readonly hash?: HashBalance;
  readonly affinity?: CookieAffinity;
  /** When another endpoint may be tried; by default after errors and time-outs. Connections that cannot be made always are. */
  readonly retry?: RetryPolicy;
  /** Bytes a second of one response to a slow-down, after the first `afterBytes`. */
  readonly responseRate?: { readonly bytesPerSecond: number; readonly afterBytes: number };
  /** Every request is sent there too; the answer is thrown away. */
  readonly mirror?: Mirror;
  readonly answer?: AnswerChanges;
  readonly errorPages?: ErrorPages;
  /** The whole body is read before an endpoint is asked (true), or goes on as it comes (false, the default). */
  readonly bufferRequest?: boolean;
  /** Bytes of it that are kept in memory, 1 MiB at most and where it is absent; the rest waits on a disk. */
  readonly bodyBufferBytes?: number;
  /** Sent as Connection to endpoints of HTTP/1 instead of what keeps connections; `close` ends each after one request. */
  readonly connectionHeader?: string;
}

export type RouteAction =
  | Forwarding
  | { readonly kind: "redirect"; readonly status: number; readonly location: RedirectTarget }
  | { readonly kind: "respond"; readonly status: number; readonly why: string }
  /** The host is known and the path is nobody's: the default page, 404. */
  | { readonly kind: "none" };

export type RedirectTarget =
  | { readonly kind: "text"; readonly text: string }
  /** The same scheme and host (not said where `relative`), another path; the query is kept. */
  | { readonly kind: "path"; readonly path: string; readonly relative?: boolean }
  /** The same scheme, path and query, another host. */
  | { readonly kind: "host"; readonly host: string };

export type RouteId = string;

export interface Route {
  readonly id: RouteId;
  /** The object that asked for it. */
  readonly object: ObjectRef;
  /** `host/path` as written in the object. */
  readonly rule: string;
  readonly host: HostMatch;
  readonly path: PathMatch;
  readonly methods?: readonly string[];
  readonly headers?: readonly ValueMatch[];
  readonly query?: readonly ValueMatch[];
  /** Creation time of the object (RFC 3339); the older wins a tie. */
  readonly created: string;
  readonly filters: readonly Filter[];
  readonly action: RouteAction;
  /** TLS for this host goes unopened to that pool; the rest of the route is for what comes in plain. */
  readonly passthrough?: PoolId;
  /** How TLS is spoken for this host; the same on all routes of a host that have it. */
  readonly hostTls?: HostTls;
  /** False: its requests are not in the access log. */
  readonly accessLog?: boolean;
  /** Absent: as this process does by default. */
  readonly tracing?: { readonly enabled: boolean; readonly trustIncoming?: boolean };
}

/** The terms of TLS with clients of one host. */
export interface HostTls {
  readonly clientCertificates?: ClientCertificates;
  /** As OpenSSL writes lists of ciphers, for TLS 1.2. */
  readonly ciphers?: string;
  readonly preferServerCiphers?: boolean;
}

/**
 * `on`: asked for and must be signed by `ca`, else 400 (the handshake itself goes through, as at nginx). `optional`: one that is
 * shown must be; `optional_no_ca`: any. The judgement is in the request (FilteredRequest.clientCertificate), for the filter
 * of the same name.
 */
export interface ClientCertificates {
  readonly verify: "on" | "optional" | "optional_no_ca";
  /** PEM texts of the authorities. */
  readonly ca: string;
  /** How many certificates may stand between the client's and an authority. */
  readonly depth: number;
  /** PEM texts of revocation lists. */
  readonly crl?: string;
}

export interface PoolEndpoint {
  readonly ip: string;
  readonly port: number;
  /** Zones whose clients it is for, as hints of its slice say; absent: all. */
  readonly zones?: readonly string[];
}

/**
 * Endpoints are asked from time to time whether they are well: by GET, where 2xx and 3xx is well, or by grpc.health.v1 of a service
 * ("" for all of the server), where SERVING is.
 */
export interface HealthCheck {
  readonly asks: { readonly kind: "http"; readonly path: string } | { readonly kind: "grpc"; readonly service: string };
  /** Certificates are not verified. */
  readonly tls: boolean;
  /** Sent as Host, and as the name of TLS; by default the endpoint's address, and none. */
  readonly host?: string;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  /** So many failures one after the other, and it gets no requests while others are well. */
  readonly failures: number;
  /** So many good answers one after the other, and it gets requests again. */
  readonly successes: number;
}

export interface Pool {
  readonly id: PoolId;
  /** `namespace/name` of the Service. */
  readonly service: string;
  /** The Service's port number. */
  readonly port: number;
  readonly endpoints: readonly PoolEndpoint[];
  readonly health?: HealthCheck;
  /** An endpoint that joins others gets its share of requests little by little, for so long. */
  readonly slowStartSeconds?: number;
  /** Absent: none. */
  readonly limits?: PoolLimits;
}

/** What one process asks of a pool at once. */
export interface PoolLimits {
  /** Requests in flight at one endpoint; over HTTP/1 these are connections. */
  readonly requests: number;
  /** So many wait while all endpoints are at their limit, each for so long; what is more, or waits longer, is 503. */
  readonly pending: number;
  readonly pendingSeconds: number;
}

/** PEM texts. `host` is a name or `*.suffix`. */
export interface Certificate {
  readonly host: string;
  readonly certificate: string;
  readonly key: string;
  /** The object it comes from. */
  readonly object: ObjectRef;
}

/** A port whose connections or datagrams go to a Service as they are. */
export interface StreamService {
  /** `tcp 9000`. */
  readonly id: string;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  readonly pool: PoolId;
  /** Clients begin with the PROXY protocol. */
  readonly acceptProxyProtocol: boolean;
  /** Endpoints are told of the client by the PROXY protocol of this version; absent: they are not. */
  readonly sendProxyProtocol?: 1 | 2;
  /** The object that asks for it. */
  readonly object: ObjectRef;
}

/** How ingress processes find each other, to count together. */
export interface GossipSettings {
  /** Address of this process's node. */
  readonly self: string;
  /** Of all nodes, this one's too. */
  readonly nodes: readonly string[];
  /** Known to the processes of the cluster alone. */
  readonly secret: string;
}

/** Plain data, as it travels from the agent to the ingress processes. */
export interface RouteDelta {
  readonly revision: number;
  /** True: what is not in the upserts is gone. */
  readonly full: boolean;
  readonly routes: { readonly upserts: readonly Route[]; readonly deletes: readonly RouteId[] };
  readonly pools: { readonly upserts: readonly Pool[]; readonly deletes: readonly PoolId[] };
  readonly certificates: { readonly upserts: readonly Certificate[]; readonly deletes: readonly string[] };
  /** Absent: none change. */
  readonly streams?: { readonly upserts: readonly StreamService[]; readonly deletes: readonly string[] };
  /** All of them; absent: they stay. */
  readonly settings?: ProxySettings;
  /** Absent: it stays. `none`: this process counts for itself. */
  readonly gossip?: GossipSettings | "none";
  /** The zone of the node that routes go to; "" when it has none. Absent: it stays. */
  readonly zone?: string;
}
