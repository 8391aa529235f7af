import type { DnsAddress } from "./dns-config.ts";

/** Of DNS over TLS and HTTPS; all PEM. */
export interface TlsCertificate {
  readonly cert: string;
  readonly key: string;
  /** Clients may show a certificate of this authority. */
  readonly clientCa?: string;
  /** They must. */
  readonly requireClient?: true;
  /** Where the keys of connections are written, for who debugs them. */
  readonly keylogFile?: string;
}

/** Where DNS is served over TLS (RFC 7858); by custom at port 853. */
export interface TlsConfig {
  readonly listen: readonly DnsAddress[];
  readonly certificate: TlsCertificate;
}

/** Where DNS is served over HTTPS (RFC 8484), in HTTP/2 and HTTP/1.1. */
export interface HttpsConfig extends Omit<TlsConfig, "certificate"> {
  /** Absent: a proxy in front has ended TLS, and asks in HTTP/1.1. */
  readonly certificate?: TlsCertificate;
  /** Default `/dns-query`. */
  readonly path?: string;
}
