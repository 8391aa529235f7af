import type { Forwarding, HashBalance, RetryOn, RetryPolicy, UpstreamTls } from "../route/route.ts";
import {
  isBad,
  oneOf,
  type Parsed,
  type ParseValue,
  parseCount,
  parseHostName,
  parseSeconds,
  parseSize,
  parseText,
} from "./annotation-values.ts";
import { parseRequestText } from "./request-text.ts";

/** What annotations say of the way to the endpoints. */
export type ForwardingOptions = Pick<Forwarding, "protocol" | "tries" | "balance"> &
  Partial<Pick<Forwarding, "tls" | "hash" | "retry" | "responseRate">>;

/** The parts of the reader of annotations that are needed here. */
interface Reader {
  get<T>(name: string, parse: ParseValue<T>): T | undefined;
  refuse(name: string, message: string): void;
}

export function parseForwarding(a: Reader): ForwardingOptions {
  const protocol = parseProtocol(a);
  const key = a.get("upstream-hash-by", parseHashKey);
  const balance = a.get("load-balance", oneOf("round_robin", "ewma", "least_requests"));
  const conditions = a.get("proxy-next-upstream", parseRetryOn);
  const retry = parseRetry(a, conditions);
  const tries = a.get("proxy-next-upstream-tries", parseCount);
  const rate = a.get("limit-rate", parseSize) ?? 0;
  const after = a.get("limit-rate-after", parseSize) ?? 0;
  const tls = parseTls(a, protocol);
  return {
    protocol,
    tries: conditions?.off === true ? 1 : (tries ?? 0) > 0 ? (tries ?? 3) : 3,
    balance: key === undefined ? (balance ?? "round_robin") : "hash",
    ...(key === undefined ? {} : { hash: key }),
    ...(retry === undefined ? {} : { retry }),
    ...(rate > 0 ? { responseRate: { bytesPerSecond: rate, afterBytes: after } } : {}),
    ...(tls === undefined ? {} : { tls }),
  };
}

function parseProtocol(a: Reader): Forwarding["protocol"] {
  const protocol = a.get("backend-protocol", oneOf("HTTP", "HTTPS", "AUTO_HTTP", "GRPC", "GRPCS", "FCGI"));
  switch (protocol) {
    case "HTTPS":
      return "https";
    case "GRPC":
      return "grpc";
    case "GRPCS":
      return "grpcs";
    case "FCGI":
      a.refuse("backend-protocol", "FCGI is not supported; HTTP, HTTPS, GRPC and GRPCS are");
      return "http";
    case "HTTP":
    case "AUTO_HTTP":
    case undefined:
      return "http";
  }
}

interface RetryConditions {
  readonly off: boolean;
  readonly on: readonly RetryOn[];
  readonly nonIdempotent: boolean;
}

const retryWords: readonly RetryOn[] = [
  "error",
  "timeout",
  "invalid_header",
  "http_500",
  "http_502",
  "http_503",
  "http_504",
  "http_403",
  "http_404",
  "http_429",
];

/** nginx's proxy_next_upstream. */
function parseRetryOn(text: string): Parsed<RetryConditions> {
  const words = text.split(/\s+/).filter((w) => w !== "");
  const on = words.flatMap((w) => retryWords.filter((known) => known === w));
  if (words.some((w) => w !== "off" && w !== "non_idempotent" && !retryWords.some((known) => known === w)))
    return { expected: `a list of ${retryWords.join(", ")}, non_idempotent, or off` };
  return { off: words.includes("off"), on, nonIdempotent: words.includes("non_idempotent") };
}

function parseRetry(a: Reader, conditions: RetryConditions | undefined): RetryPolicy | undefined {
  const within = a.get("proxy-next-upstream-timeout", parseSeconds) ?? 0;
  if (conditions?.off === true || (conditions === undefined && within === 0)) return undefined;
  return { on: conditions?.on ?? ["error", "timeout"], nonIdempotent: conditions?.nonIdempotent ?? false, withinSeconds: within };
}

function parseHashKey(text: string): Parsed<HashBalance> {
  const key = parseRequestText(text);
  return isBad(key) ? key : { key, algorithm: "ring" };
}

/** The terms of TLS, where any is set; `proxy-ssl-secret` is read elsewhere. */
function parseTls(a: Reader, protocol: Forwarding["protocol"]): UpstreamTls | undefined {
  const verify = a.get("proxy-ssl-verify", oneOf("on", "off"));
  const name = a.get("proxy-ssl-name", parseHostName);
  const sendName = a.get("proxy-ssl-server-name", oneOf("on", "off"));
  const ciphers = a.get("proxy-ssl-ciphers", parseText);
  const protocols = a.get("proxy-ssl-protocols", parseProtocols);
  if (protocol !== "https" && protocol !== "grpcs") return undefined;
  if ([verify, name, sendName, ciphers, protocols].every((v) => v === undefined)) return undefined;
  return {
    verify: verify === "on",
    sendServerName: sendName === "on",
    ...(name === undefined ? {} : { name }),
    ...(ciphers === undefined ? {} : { ciphers }),
    ...protocols,
  };
}

function parseProtocols(text: string): Parsed<Pick<UpstreamTls, "minVersion" | "maxVersion">> {
  const words = text.split(/\s+/);
  const two = words.includes("TLSv1.2");
  const three = words.includes("TLSv1.3");
  if (!two && !three) return { expected: "TLSv1.2, TLSv1.3 or both" };
  return { minVersion: two ? "TLSv1.2" : "TLSv1.3", maxVersion: three ? "TLSv1.3" : "TLSv1.2" };
}
