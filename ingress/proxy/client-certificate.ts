import type { TLSSocket } from "node:tls";
import type { ShownCertificate } from "../filter/outcome.ts";
import type { ClientCertificates } from "../route/route.ts";
import { intermediatesOf } from "../upstream/certificate-chain.ts";

/** Node's names of what OpenSSL finds wrong, in OpenSSL's words. */
const words: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "self-signed certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "self-signed certificate in certificate chain",
  UNABLE_TO_GET_ISSUER_CERT: "unable to get issuer certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unable to get local issuer certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unable to verify the first certificate",
  CERT_HAS_EXPIRED: "certificate has expired",
  CERT_NOT_YET_VALID: "certificate is not yet valid",
  CERT_SIGNATURE_FAILURE: "certificate signature failure",
  CERT_CHAIN_TOO_LONG: "certificate chain too long",
  CERT_REVOKED: "certificate revoked",
  INVALID_CA: "invalid CA certificate",
  INVALID_PURPOSE: "unsuitable certificate purpose",
};

/** These only say that nobody we know vouches for it. */
const unknownAuthority: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Who was asked, by which terms, and what was shown. */
export interface ClientAnswer {
  readonly askedBy: ClientCertificates;
  readonly clientCertificate?: ShownCertificate;
}

/** What a client has shown of itself in a handshake on these terms. */
export function clientAnswerOf(socket: TLSSocket, askedBy: ClientCertificates): ClientAnswer {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { askedBy };
  const error = errorOf(socket) ?? (intermediatesOf(socket.getPeerCertificate(true)) > askedBy.depth ? "CERT_CHAIN_TOO_LONG" : undefined);
  const clientCertificate = {
    fault: error === undefined ? undefined : (words[error] ?? error),
    unknownAuthority: error !== undefined && unknownAuthority.has(error),
    pem: certificate.toString(),
    subject: rfc2253(certificate.subject),
    issuer: rfc2253(certificate.issuer),
  };
  return { askedBy, clientCertificate };
}

function errorOf(socket: TLSSocket): string | undefined {
  if (socket.authorized) return undefined;
  const error: unknown = socket.authorizationError;
  return typeof error === "string" ? error : error instanceof Error && "code" in error ? String(error.code) : "UNSPECIFIED";
}

/** Node writes a name as lines, first part first; RFC 2253 as one line, last part first, in ASCII. */
export function rfc2253(lines: string): string {
  const parts = lines.split("\n").map((line) => line.split(" + ").reverse().join("+"));
  return parts
    .reverse()
    .join(",")
    .replace(/[^\x20-\x7e]/gu, (c) => [...Buffer.from(c)].map((b) => `\\${b.toString(16).toUpperCase().padStart(2, "0")}`).join(""));
}
