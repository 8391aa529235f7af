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

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A new P-256 key and its certificate. */
export async function makeCertificate(request: CertificateRequest): Promise<KeyPair> {
  provideReflectMetadata();
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const name = [{ CN: [request.commonName] }, ...(request.organizations ?? []).map((o) => ({ O: [o] }))];
  const { KeyUsageFlags: flag } = x509;
  const isCa = request.usage === "ca";
  const names = [
    ...(request.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(request.ips ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  const extensions = [
    new x509.BasicConstraintsExtension(isCa, undefined, true),
    new x509.KeyUsagesExtension(isCa ? flag.keyCertSign | flag.cRLSign | flag.digitalSignature : flag.digitalSignature, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ...(isCa
      ? []
      : [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[request.usage === "client" ? "clientAuth" : "serverAuth"]])]),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
  ];
  const issuer = request.issuer === undefined ? undefined : new x509.X509Certificate(request.issuer.certPem);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: name,
    issuer: issuer?.subjectName ?? name,
    notBefore: request.notBefore,
    notAfter: request.notAfter,
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: request.issuer === undefined ? keys.privateKey : await importKey(request.issuer.keyPem),
    extensions: issuer === undefined ? extensions : [...extensions, await x509.AuthorityKeyIdentifierExtension.create(issuer)],
  });
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: await exportKey(keys.privateKey) };
}

async function importKey(pem: string): Promise<CryptoKey> {
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
  return crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", key)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}(?=.)/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
}

/** The library's container of parts asks for these three of the Reflect metadata proposal; nobody else here does. */
function provideReflectMetadata(): void {
  if ("getMetadata" in Reflect) return;
  const all = new WeakMap<object, Map<unknown, unknown>>();
  const getOwnMetadata = (key: unknown, target: object): unknown => all.get(target)?.get(key);
  const getMetadata = (key: unknown, target: object): unknown => {
    for (let at: object | null = target; at !== null; at = Reflect.getPrototypeOf(at)) {
      const found = getOwnMetadata(key, at);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const defineMetadata = (key: unknown, value: unknown, target: object): void => {
    const own = all.get(target) ?? new Map<unknown, unknown>();
    all.set(target, own.set(key, value));
  };
  Object.assign(Reflect, { getOwnMetadata, getMetadata, defineMetadata });
}
