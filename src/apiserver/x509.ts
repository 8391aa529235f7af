/** Certificates: @peculiar/x509 behind one function, loaded when a certificate is made (0.1 s), not before. */
export interface CertificateRequest {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  readonly usage: "ca" | "client" | "server";
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Absent: signed by its own key. */
  readonly issuer?: KeyPair;
}

/** PEM, both. */
export interface KeyPair {
  readonly certPem: string;
  readonly keyPem: string;
}

/** A new P-256 key and its certificate. */
export async function makeCertificate(request: CertificateRequest): Promise<KeyPair> {
  // Our own file is loaded late, not the library: a bundler gives a CommonJS module loaded late another shape.
  const { issue } = await import("./certificate-library.ts");
  return issue(request);
}
