import "./reflect-metadata.ts"; // before the library: it looks for it when it is loaded
import * as x509 from "@peculiar/x509";
import type { CertificateRequest, KeyPair } from "./x509.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A new P-256 key and its certificate. */
export async function issue(request: CertificateRequest): Promise<KeyPair> {
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
