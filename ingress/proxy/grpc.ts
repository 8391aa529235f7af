import type { ResponseHead } from "../filter/response-step.ts";
import { headerValue } from "../route/request-head.ts";

/** True for a call of gRPC, whose status is in trailers and whose clients look nowhere else. */
export function isGrpc(fields: readonly string[]): boolean {
  const type = headerValue(fields, "content-type");
  return type?.startsWith("application/grpc") === true && (type.length === 16 || type[16] === "+" || type[16] === ";");
}

/** Milliseconds from `grpc-timeout` (at most eight digits and a unit); undefined when there is none that can be read. */
export function grpcTimeoutMs(fields: readonly string[]): number | undefined {
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(headerValue(fields, "grpc-timeout") ?? "");
  return match === null ? undefined : Number(match[1]) * (unitMs[match[2] ?? ""] ?? 1);
}

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };

/** gRPC's codes for what this proxy says in HTTP's (doc/http-grpc-status-mapping.md of gRPC), more exact where it knows more. */
const codes: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  413: 8,
  429: 14,
  431: 8,
  499: 1,
  500: 13,
  502: 14,
  503: 14,
  504: 4,
};

/** An answer made here, as a response of trailers only. */
export function grpcReply(status: number, message: string): ResponseHead {
  return {
    status: 200,
    reason: "OK",
    headers: ["Content-Type", "application/grpc", "grpc-status", String(codes[status] ?? 2), "grpc-message", encodeURIComponent(message)],
    framing: { kind: "none" },
  };
}
