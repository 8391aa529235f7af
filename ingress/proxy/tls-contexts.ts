import { createSecureContext, type SecureContext } from "node:tls";
import { normalizeHost } from "../route/request-head.ts";
import type { Certificate } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";

/** PEM texts. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** Contexts by certificate, made when first asked for and forgotten with the certificate. */
export class TlsContexts {
  readonly #made = new WeakMap<Certificate, SecureContext>();

  /** The context for a server name: its own certificate, else the wildcard's; undefined: the default one. */
  contextFor(table: RouteTable, serverName: string): SecureContext | undefined {
    const host = normalizeHost(serverName);
    const dot = host.indexOf(".");
    const certificate = table.certificates.get(host) ?? (dot > 0 ? table.certificates.get(`*${host.slice(dot)}`) : undefined);
    if (certificate === undefined) return undefined;
    let context = this.#made.get(certificate);
    if (context === undefined) {
      context = secureContext(certificate);
      this.#made.set(certificate, context);
    }
    return context;
  }
}

/** TLS 1.2 and 1.3. Throws when the texts are no pair. */
export function secureContext(pair: KeyPair): SecureContext {
  return createSecureContext({ cert: pair.certificate, key: pair.key, minVersion: "TLSv1.2" });
}
