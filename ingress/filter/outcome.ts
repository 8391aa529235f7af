import type { FilterKind, HeaderField } from "../route/filter.ts";
import type { PoolId } from "../route/route.ts";
import type { VerificationKey } from "./jwt.ts";
import type { MakeResponseStep } from "./response-step.ts";

/** What filters see of a request; later ones see what earlier ones changed. */
export interface FilteredRequest {
  readonly method: string;
  /** Host as the client wrote it, port included. */
  readonly authority: string;
  /** Normalised; after a rewrite, the new one. */
  readonly path: string;
  /** Path and query as they go upstream. */
  readonly target: string;
  readonly query: string;
  readonly headers: readonly string[];
  readonly clientIp: string;
  /** The client speaks TLS to us, or to the trusted proxy in front of us. */
  readonly secure: boolean;
  /** That the client asked for. */
  readonly port: number;
  readonly requestId: string;
  /** Milliseconds since 1970. */
  time(): number;
  /** Absent: the client showed none, or was not asked. */
  readonly clientCertificate?: ShownCertificate | undefined;
  /** The declared length of the body; 0 when there is none or it is not told. */
  readonly bodyBytes: number;
}

/** A client's certificate, as the handshake found it. */
export interface ShownCertificate {
  /** `undefined`: signed by an authority of the host; else why not. */
  readonly fault: string | undefined;
  /** Not signed by a known authority is the only fault. */
  readonly unknownAuthority: boolean;
  /** Distinguished names as RFC 2253 writes them: `CN=client,O=shop`. */
  readonly subject: string;
  readonly issuer: string;
  readonly pem: string;
}

/** An answer made here. */
export interface Reply {
  readonly status: number;
  readonly headers: readonly HeaderField[];
  /** Who decided, for logs and explanations. */
  readonly by: FilterKind | "route" | "proxy";
}

/** What a filter does to a request; absent parts stay as they are. `reply` ends the chain. */
export interface FilterOutcome {
  readonly reply?: Reply;
  readonly path?: string;
  readonly target?: string;
  readonly query?: string;
  readonly requestHeaders?: readonly HeaderField[];
  readonly responseHeaders?: readonly HeaderField[];
  /** Stands between the endpoint's response and the client; those of earlier filters come before those of later ones. */
  readonly responseStep?: MakeResponseStep;
  readonly bodyLimit?: number;
  /** Who the client has shown to be. */
  readonly user?: string;
  /** To be called once the request has ended. */
  readonly release?: () => void;
}

/** What filters need of the world. `now` is monotonic milliseconds. */
export interface FilterContext {
  readonly now: number;
  /** Where https is served, for redirects. */
  readonly httpsPort: number;
  readonly world: FilterWorld;
}

/** What a request brings with it beside its head. */
export interface RequestContext extends FilterContext {
  readonly requestId: string;
}

/** What outlives a request: one for all requests of a process. */
export interface FilterWorld {
  readonly limits: Limits;
  readonly shared: SharedLimits;
  readonly passwords: Passwords;
  readonly nonces: Nonces;
  readonly keySets: KeySets;
  readonly authority: Authority;
  /** Milliseconds since 1970. */
  time(): number;
}

/** Counts that outlive a request. */
export interface Limits {
  /** Takes one from the client's bucket; false when it is empty. */
  takeToken(bucket: string, client: string, rate: { readonly perMinute: number; readonly burst: number }, now: number): boolean;
  /** Counts a request in flight; undefined when the limit is reached, else what ends it. */
  enter(bucket: string, client: string, limit: number): (() => void) | undefined;
}

export interface SharedRateUse {
  readonly bucket: string;
  readonly client: string;
  readonly limit: number;
  readonly windowMs: number;
}

/** Counts that other processes share. */
export interface SharedLimits {
  /** Counts a request; false, and not counted, when it is one too many. */
  take(use: SharedRateUse): boolean;
}

export interface Passwords {
  /** `hash` as htpasswd writes it. A promise where checking is slow. */
  verify(password: string, hash: string): boolean | Promise<boolean>;
}

export interface NonceUse {
  /** The client's count of this use. */
  readonly count: number;
  readonly secret: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Nonces of digest authentication. */
export interface Nonces {
  issue(secret: string, time: number): string;
  /** `stale`: too old or not ours, the client may try again with another; `bad`: this use of it was there before. */
  use(nonce: string, use: NonceUse): "fresh" | "stale" | "bad";
}

/** Keys that others publish. */
export interface KeySets {
  /** `newest`: asks again, if that was not done a moment ago. `undefined`: there are none to be had. */
  of(url: string, pool: PoolId | undefined, which: "kept" | "newest"): Promise<readonly VerificationKey[] | undefined>;
}

/** Servers that judge requests. */
export interface Authority {
  /** Never fails: who cannot be asked has said 500. */
  ask(question: AuthorityQuestion): Promise<Verdict>;
}

export interface AuthorityQuestion {
  readonly method: string;
  readonly url: string;
  readonly pool?: PoolId;
  readonly headers: readonly HeaderField[];
  /** The answer may be an earlier one to the same key, for so many seconds by status. */
  readonly cache?: { readonly key: string; readonly seconds: Readonly<Record<number, number>> };
}

export interface Verdict {
  readonly status: number;
  /** Names in lower case; a name may stand there more than once. */
  readonly headers: readonly HeaderField[];
}
