import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Secret } from "../../src/api/types/core-v1.generated.ts";
import { dataOf } from "./user-list.ts";

/** What a Secret holds, or why it is of no use. */
export type SecretReader<V> = (secret: Secret) => V | { readonly fault: string };

/** Authorities of clients' certificates. */
export const readAuthorities: SecretReader<{ readonly ca: string; readonly crl?: string }> = (secret) => {
  const ca = dataOf(secret, "ca.crt");
  if (ca === undefined || !isCertificate(ca)) return { fault: "it has no ca.crt with certificates in PEM" };
  const crl = dataOf(secret, "ca.crl");
  return crl === undefined ? { ca } : { ca, crl };
};

/** What this proxy shows of itself to endpoints, and the authorities of theirs; either may be absent. */
export const readUpstreamPair: SecretReader<{ readonly ca?: string; readonly certificate?: string; readonly key?: string }> = (secret) => {
  const ca = dataOf(secret, "ca.crt");
  const certificate = dataOf(secret, "tls.crt");
  const key = dataOf(secret, "tls.key");
  if (ca !== undefined && !isCertificate(ca)) return { fault: "its ca.crt is no certificate in PEM" };
  if ((certificate === undefined) !== (key === undefined)) return { fault: "of tls.crt and tls.key it has one only" };
  if (certificate === undefined || key === undefined) return ca === undefined ? { fault: "it has neither ca.crt nor tls.crt" } : { ca };
  const fault = pairFault(certificate, key);
  if (fault !== undefined) return { fault };
  return ca === undefined ? { certificate, key } : { ca, certificate, key };
};

/** Why a certificate and a key are no pair; `undefined` where they are. */
export function pairFault(certificate: string, key: string): string | undefined {
  try {
    const belongs = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
    return belongs ? undefined : "tls.key does not belong to tls.crt";
  } catch {
    return "tls.crt or tls.key is not PEM that can be read";
  }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
