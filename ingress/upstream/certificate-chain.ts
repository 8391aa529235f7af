import type { DetailedPeerCertificate } from "node:tls";
import { isDeepStrictEqual } from "node:util";

const maxChain = 32;

/** Certificates between the one that was shown and the one that is trusted, as OpenSSL counts depth. */
export function intermediatesOf(shown: DetailedPeerCertificate): number {
  let certificate = shown;
  let above = 0;
  while (certificate.issuerCertificate !== undefined && certificate.issuerCertificate !== certificate && above < maxChain) {
    above++;
    certificate = certificate.issuerCertificate;
  }
  // the authority itself is there or not: it is its own issuer
  const endsInAuthority = isDeepStrictEqual(certificate.subject, certificate.issuer);
  return above - (above > 0 && endsInAuthority ? 1 : 0);
}
