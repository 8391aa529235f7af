import { createHash } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { normalizeHost } from "../route/request-head.ts";
import type { ClientCertificates } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";

/** PEM texts. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** Contexts by certificate, made when first asked for and forgotten with the certificate. */
export class TlsContexts {
  readonly #fallback: KeyPair;
  readonly #onNew: (pair: KeyPair) => void;
  readonly #made = new WeakMap<KeyPair, Map<string, SecureContext>>();

  /** `fallback` is shown where a name has no certificate; `onNew` hears of each pair that is used for the first time. */
  constructor(fallback: KeyPair, onNew: (pair: KeyPair) => void) {
    this.#fallback = fallback;
    this.#onNew = onNew;
  }

  knows(table: RouteTable, serverName: string): boolean {
    return certificateFor(table, normalizeHost(serverName)) !== undefined;
  }

  /**
   * The context for a server name: its own certificate, else the wildcard's, else the default one; and the authorities that
   * its clients must be of. Throws when a certificate and its key are no pair.
   */
  contextFor(table: RouteTable, serverName: string | undefined): SecureContext {
    const host = serverName === undefined ? undefined : normalizeHost(serverName);
    const pair = (host === undefined ? undefined : certificateFor(table, host)) ?? this.#fallback;
    const terms = host === undefined ? undefined : table.hostTls(host)?.clientCertificates;
    const authorities = terms === undefined ? {} : { ca: terms.ca, ...(terms.crl === undefined ? {} : { crl: terms.crl }) };
    const key = sessionContextOf(terms);
    let made = this.#made.get(pair);
    if (made === undefined) {
      made = new Map();
      this.#made.set(pair, made);
      this.#onNew(pair);
    }
    let context = made.get(key);
    if (context === undefined) {
      if (made.size >= maxAuthorities) made.clear();
      context = createSecureContext({
        cert: pair.certificate,
        key: pair.key,
        minVersion: "TLSv1.2",
        sessionIdContext: key,
        ...authorities,
      });
      made.set(key, context);
    }
    return context;
  }
}

/**
 * Sessions are resumed where they were made under the same terms, whichever of an ingress's processes made them: one that
 * showed a certificate to other authorities must shake hands anew. At most 32 bytes, as OpenSSL has it.
 */
export function sessionContextOf(terms: ClientCertificates | undefined): string {
  if (terms === undefined) return "fairway-ingress";
  let known = sessionContexts.get(terms);
  if (known === undefined) {
    const text = JSON.stringify([terms.ca, terms.crl, terms.depth]);
    known = createHash("sha256").update(text).digest("base64url").slice(0, 32);
    sessionContexts.set(terms, known);
  }
  return known;
}

const sessionContexts = new WeakMap<ClientCertificates, string>();

/** One certificate for so many hosts of different authorities; above it, contexts are made again. */
const maxAuthorities = 64;

function certificateFor(table: RouteTable, host: string): KeyPair | undefined {
  const dot = host.indexOf(".");
  return table.certificates.get(host) ?? (dot > 0 ? table.certificates.get(`*${host.slice(dot)}`) : undefined);
}
