import type { TextPart } from "./request-text.ts";
import type { PoolId } from "./route.ts";

/** What stands between a match and its action, as data; ingress/filter applies them, in the order of its own literal array. */
export type Filter =
  | SslRedirect
  | AppRoot
  | Redirect
  | RequestRate
  | SharedRate
  | ConnectionLimit
  | AddressList
  | AgentBlock
  | ClientCertificate
  | Cors
  | BasicAuth
  | DigestAuth
  | JwtAuth
  | ExternalAuth
  | SatisfyAny
  | BodyLimit
  | FilledHeaders
  | Rewrite
  | ResponseHeaders;

/** To https, when the client came in plain (as a trusted proxy in front says, or the listener). */
export interface SslRedirect {
  readonly kind: "sslRedirect";
  readonly status: number;
}

/** `/` is sent to another path. */
export interface AppRoot {
  readonly kind: "appRoot";
  readonly path: readonly TextPart[];
}

export interface Redirect {
  readonly kind: "redirect";
  readonly status: number;
  readonly location: readonly TextPart[];
  /** A path is said as it is, not with scheme and host. */
  readonly relative?: boolean;
}

/** A leaky bucket per client address: `perMinute` drains it, `burst` is its depth; what does not fit gets `status`. */
export interface RequestRate {
  readonly kind: "rateLimit";
  /** Routes with the same bucket name share their count. */
  readonly bucket: string;
  readonly perMinute: number;
  readonly burst: number;
  readonly status: number;
  /** Ranges that are not counted. */
  readonly exempt?: readonly string[];
}

/** Requests in a window that slides, counted by all ingress processes of the cluster together; what is above the limit gets `status`. */
export interface SharedRate {
  readonly kind: "sharedRate";
  /** Routes with the same bucket name share their count. */
  readonly bucket: string;
  readonly limit: number;
  readonly windowSeconds: number;
  /** What is counted: requests for which it gives the same. */
  readonly key: readonly TextPart[];
  readonly status: number;
  readonly exempt?: readonly string[];
}

/** Requests in flight per client address. */
export interface ConnectionLimit {
  readonly kind: "connectionLimit";
  readonly bucket: string;
  readonly limit: number;
  readonly status: number;
  readonly exempt?: readonly string[];
}

/** Ranges as `address/bits`. With `allow`, everyone else gets 403; `deny` comes first. */
export interface AddressList {
  readonly kind: "addressList";
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** 403 to requests whose User-Agent or Referer is one of these. */
export interface AgentBlock {
  readonly kind: "agentBlock";
  readonly userAgents: readonly TextTest[];
  readonly referers: readonly TextTest[];
}

export type TextTest =
  | { readonly kind: "exact"; readonly text: string }
  | { readonly kind: "regex"; readonly pattern: string; readonly ignoreCase: boolean };

/**
 * What the certificate that a client showed is worth here; asked for by the host's terms of TLS (HostTls). A bad one, and none
 * where one is due, is 400 or the error page; a common name that does not fit 403. Endpoints are told by ssl-client-* headers.
 */
export interface ClientCertificate {
  readonly kind: "clientCertificate";
  readonly verify: "on" | "optional" | "optional_no_ca";
  /** A regular expression for `CN=name`. */
  readonly commonName?: string;
  /** Where a client goes by 302 instead of an error. */
  readonly errorPage?: string;
  /** The certificate itself goes on too, as PEM with percent-encoding. */
  readonly passOn: boolean;
}

export interface Cors {
  readonly kind: "cors";
  readonly origins: readonly string[];
  readonly methods: string;
  readonly headers: string;
  readonly exposeHeaders: string;
  readonly credentials: boolean;
  readonly maxAgeSeconds: number;
}

export interface BasicAuth {
  readonly kind: "auth";
  readonly realm: string;
  /** User → hash as htpasswd writes it: `$apr1$`, `$2y$`, `{SHA}`. */
  readonly users: Readonly<Record<string, string>>;
}

/** RFC 7616. */
export interface DigestAuth {
  readonly kind: "digestAuth";
  /** Without `"` and `\`. */
  readonly realm: string;
  readonly users: Readonly<Record<string, DigestHashes>>;
}

/** H(user:realm:password) in lower-case hex. */
export interface DigestHashes {
  readonly md5?: string;
  readonly sha256?: string;
}

/** A signed token (RFC 7519) in `Authorization: Bearer`, or in a cookie. */
export interface JwtAuth {
  readonly kind: "jwt";
  /** Without `"` and `\`; empty: the host that is asked for. */
  readonly realm: string;
  readonly keys: JwtKeys;
  readonly issuer?: string;
  /** The token must be for one of them; empty: for anybody. */
  readonly audiences: readonly string[];
  /** How far clocks may be apart. */
  readonly leewaySeconds: number;
  /** Where a token may stand besides. */
  readonly cookie?: string;
  /** What endpoints are told: claims (`a.b` goes into objects) under names of headers. */
  readonly claimHeaders: readonly { readonly claim: string; readonly header: string }[];
}

/** JWK Sets (RFC 7517): their text, or where the newest is, with the pool that stands for the URL's host. */
export type JwtKeys =
  | { readonly kind: "inline"; readonly sets: readonly string[] }
  | { readonly kind: "url"; readonly url: string; readonly pool?: PoolId };

/**
 * Another server judges each request by its head: 2xx lets it on, 401 and 403 are handed to the client, anything else and
 * silence is 500.
 */
export interface ExternalAuth {
  readonly kind: "externalAuth";
  /** An http or https URL once filled. */
  readonly url: readonly TextPart[];
  /** Endpoints that stand for the URL's host, where that is a Service of this cluster. */
  readonly pool?: PoolId;
  /** By default GET. */
  readonly method?: string;
  /** Where a client goes on 401, by 302; `redirectParameter` tells that page where to send it back. */
  readonly signIn?: { readonly url: readonly TextPart[]; readonly redirectParameter: string };
  /** Sent as X-Auth-Request-Redirect; path and query of the request when absent. */
  readonly requestRedirect?: readonly TextPart[];
  /** Names of headers, lower case, of a good answer that go on to the endpoint. */
  readonly responseHeaders: readonly string[];
  /** Sent to that server besides, in place of what the client sent under these names. */
  readonly setHeaders?: readonly FilledHeader[];
  /** Cookies of a good answer go to the client whatever the endpoint then answers, not only after 2xx and 3xx as nginx counts them. */
  readonly alwaysSetCookie?: boolean;
  /** Answers are remembered by what `key` gives, for so many seconds by status. */
  readonly cache?: { readonly key: readonly TextPart[]; readonly seconds: Readonly<Record<number, number>> };
}

/** The first that lets the request on is enough; when none does, what asks for credentials is the answer. */
export interface SatisfyAny {
  readonly kind: "satisfyAny";
  readonly filters: readonly (AddressList | BasicAuth | DigestAuth | JwtAuth | ExternalAuth)[];
}

/** Bytes; 0 is no limit. */
export interface BodyLimit {
  readonly kind: "bodyLimit";
  readonly bytes: number;
}

/** The path becomes `target`, in whose texts `$1`…`$9` are filled from the groups of `pattern`. */
export interface Rewrite {
  readonly kind: "rewrite";
  readonly pattern: string;
  readonly ignoreCase: boolean;
  readonly target: readonly TextPart[];
}

/** Headers for the endpoint that are filled from the request as the client sent it. */
export interface FilledHeaders {
  readonly kind: "filledHeaders";
  readonly set: readonly FilledHeader[];
}

export interface ResponseHeaders {
  readonly kind: "responseHeaders";
  /** Only where the client's connection is TLS. */
  readonly onlyTls?: boolean;
  readonly set: readonly HeaderField[];
  /** Those that are filled from the request. */
  readonly filled?: readonly FilledHeader[];
}

export interface FilledHeader {
  readonly name: string;
  readonly value: readonly TextPart[];
}

export interface HeaderField {
  readonly name: string;
  readonly value: string;
}

export type FilterKind = Filter["kind"];
export type FilterOf<K extends FilterKind> = Extract<Filter, { kind: K }>;
