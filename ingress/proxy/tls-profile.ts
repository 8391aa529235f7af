import { constants } from "node:crypto";
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext, type SecureContextOptions } from "node:tls";
import type { ProxySettings } from "../route/proxy-settings.ts";
import type { HostTls } from "../route/route.ts";
import { nativeContextOf } from "../upstream/tls-handles.ts";
import { type KeyPair, sessionContextOf } from "./tls-contexts.ts";

/** Of all hosts, where a route says nothing else. */
export interface TlsSettings {
  /** By default 1.2 and 1.3. */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
  /** As OpenSSL writes lists of ciphers; of 1.2, but for names that begin with TLS_. */
  readonly ciphers?: string;
  /** 48 random bytes that encrypt session tickets; whoever has them too resumes our sessions. */
  readonly ticketKeys?: Buffer;
}

export interface TlsDemands {
  /** Of the host that was asked for. */
  readonly host: HostTls | undefined;
  /** Of the table. */
  readonly told: Pick<ProxySettings, "tls" | "http2">;
  readonly ours: TlsSettings;
}

/**
 * Of 1.3, unless a list names others: 128 bits first, as the lists of 1.2 have it. A handshake derives some forty keys, and many
 * processors have instructions for the hash of this one.
 */
const suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const ciphersOf12 = DEFAULT_CIPHERS.split(":")
  .filter((name) => !name.startsWith("TLS_"))
  .join(":");

/** What handshakes on the same demands have in common; it is settled before a server name could change it. */
export class TlsProfile {
  readonly told: ProxySettings["tls"];
  readonly asksCertificate: boolean;
  /** In the order they are preferred. */
  readonly protocols: readonly string[];
  readonly options: SecureContextOptions;
  #context: SecureContext | undefined;

  /** `pair`: for clients whose name has no certificate. */
  constructor(pair: KeyPair, { host, told, ours }: TlsDemands) {
    const { http2, tls } = told;
    const { minVersion = "TLSv1.2", maxVersion, ticketKeys, ...settings } = { ...ours, ...tls };
    const ciphers = host?.ciphers ?? settings.ciphers ?? ciphersOf12;
    // as at nginx, nobody shakes hands again and again over one connection
    const withoutTickets = tls?.sessionTickets === false ? constants.SSL_OP_NO_TICKET : 0;
    this.told = tls;
    this.asksCertificate = host?.clientCertificates !== undefined;
    this.protocols = http2 === false ? ["http/1.1"] : ["h2", "http/1.1"];
    this.options = {
      cert: pair.certificate,
      key: pair.key,
      minVersion,
      ...(maxVersion === undefined ? {} : { maxVersion }),
      ciphers: /(^|:)TLS_/.test(ciphers) ? ciphers : `${suites}:${ciphers}`,
      honorCipherOrder: host?.preferServerCiphers ?? true,
      ...(ticketKeys === undefined ? {} : { ticketKeys }),
      sessionIdContext: sessionContextOf(host?.clientCertificates),
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | withoutTickets,
    };
  }

  /** For all names; made when first asked for. */
  get context(): SecureContext {
    this.#context ??= createSecureContext(this.options);
    return this.#context;
  }

  setTicketKeys(keys: Buffer): void {
    if (this.#context !== undefined) nativeContextOf(this.#context).setTicketKeys(keys);
  }

  /** The same of demands that need the same. */
  static keyOf({ host, told }: TlsDemands): string {
    return JSON.stringify([sessionContextOf(host?.clientCertificates), host?.ciphers, host?.preferServerCiphers, told.tls, told.http2]);
  }
}
