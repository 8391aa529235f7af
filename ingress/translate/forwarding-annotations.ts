import type { Forwarding, RetryPolicy, UpstreamTls } from "../route/route.ts";
import type { AnnotationReader } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";
import type { RetryConditions } from "./forwarding-values.ts";

/** What annotations say of the way to the endpoints. */
export type ForwardingOptions = Pick<Forwarding, "protocol" | "tries" | "balance"> &
  Partial<Pick<Forwarding, "tls" | "hash" | "retry" | "responseRate" | "connectionHeader" | "bufferRequest" | "bodyBufferBytes">> & {
    /** A Secret with what this proxy shows of itself to endpoints, and the authorities of theirs. */
    readonly tlsSecret?: string;
  };

export function parseForwarding(a: AnnotationReader): ForwardingOptions {
  const protocol = parseProtocol(a);
  const key = a.get("upstream-hash-by");
  const subset = a.get("upstream-hash-by-subset") ?? false;
  const subsetSize = a.get("upstream-hash-by-subset-size") ?? 3;
  const balance = a.get("load-balance");
  const conditions = a.get("proxy-next-upstream");
  const retry = parseRetry(a, conditions);
  const tries = a.get("proxy-next-upstream-tries") ?? 3;
  const rate = a.get("limit-rate") ?? 0;
  const after = a.get("limit-rate-after") ?? 0;
  const tls = parseTls(a, protocol);
  const bodyBufferBytes = a.get("client-body-buffer-size");
  return {
    protocol,
    // nginx has no limit at 0; each endpoint is tried once at most in any case
    tries: conditions?.off === true ? 1 : tries > 0 ? tries : 1000,
    balance: key === undefined ? (balance ?? "round_robin") : "hash",
    ...(key === undefined ? {} : { hash: { ...key, ...(subset && subsetSize > 0 ? { subsetSize } : {}) } }),
    ...(retry === undefined ? {} : { retry }),
    ...(rate > 0 ? { responseRate: { bytesPerSecond: rate, afterBytes: after } } : {}),
    ...(a.get("proxy-request-buffering") === true ? { bufferRequest: true, ...present("bodyBufferBytes", bodyBufferBytes) } : {}),
    ...present("connectionHeader", a.get("connection-proxy-header")),
    ...tls,
  };
}

function parseProtocol(a: AnnotationReader): Forwarding["protocol"] {
  const protocol = a.get("backend-protocol");
  switch (protocol) {
    case "HTTPS":
      return "https";
    case "GRPC":
      return "grpc";
    case "GRPCS":
      return "grpcs";
    case "FCGI":
      a.refuse(
        "backend-protocol",
        "FCGI is not supported; HTTP, HTTPS, GRPC and GRPCS are: put a server that speaks HTTP beside it",
        "UnsupportedAnnotation",
      );
      return "http";
    case "HTTP":
    case "AUTO_HTTP":
    case undefined:
      return "http";
  }
}

function parseRetry(a: AnnotationReader, conditions: RetryConditions | undefined): RetryPolicy | undefined {
  const within = a.get("proxy-next-upstream-timeout") ?? 0;
  if (conditions?.off === true || (conditions === undefined && within === 0)) return undefined;
  return { on: conditions?.on ?? ["error", "timeout"], nonIdempotent: conditions?.nonIdempotent ?? false, withinSeconds: within };
}

/** The terms of TLS, where any is set. */
function parseTls(a: AnnotationReader, protocol: Forwarding["protocol"]): Pick<ForwardingOptions, "tls" | "tlsSecret"> {
  const secret = a.get("proxy-ssl-secret");
  const verify = a.get("proxy-ssl-verify");
  const name = a.get("proxy-ssl-name");
  const sendName = a.get("proxy-ssl-server-name");
  const ciphers = a.get("proxy-ssl-ciphers");
  const protocols = a.get("proxy-ssl-protocols");
  const depth = a.get("proxy-ssl-verify-depth");
  if (protocol !== "https" && protocol !== "grpcs") return {};
  if ([secret, verify, name, sendName, ciphers, protocols].every((v) => v === undefined)) return {};
  const tls: UpstreamTls = {
    verify: verify ?? false,
    sendServerName: sendName ?? false,
    ...(verify === true ? { verifyDepth: depth ?? 1 } : {}),
    ...present("name", name),
    ...present("ciphers", ciphers),
    ...protocols,
  };
  return { tls, ...present("tlsSecret", secret) };
}
