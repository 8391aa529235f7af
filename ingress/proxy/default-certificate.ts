import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { der, objectId, sequence } from "./der.ts";
import type { KeyPair } from "./tls-contexts.ts";

const dayMs = 86_400_000;

export interface CertificateSubject {
  readonly commonName: string;
  readonly host: string;
}

const defaultSubject: CertificateSubject = { commonName: "Ingress default certificate", host: "ingress.local" };

/**
 * A self-signed pair for connections whose name has no certificate; `now` in milliseconds since 1970. Thirty lines of DER
 * (X.690, RFC 5280 section 4.1) instead of an X.509 library, which would be a third of this process's start.
 */
export function selfSignedCertificate(now: number, subject: CertificateSubject = defaultSubject): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = sequence(relativeName(oid.organization, "fairway"), relativeName(oid.commonName, subject.commonName));
  const algorithm = sequence(oid.ecdsaWithSha256);
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and never shortened
  const alternativeNames = sequence(oid.subjectAltName, der(0x04, sequence(der(0x82, Buffer.from(subject.host)))));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    name,
    sequence(utcTime(now - dayMs), utcTime(now + 365 * dayMs)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(alternativeNames)),
  );
  const signature = sign("sha256", body, privateKey);
  const certificate = sequence(body, algorithm, der(0x03, Buffer.from([0]), signature));
  const base64 = certificate.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${base64.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

const oid = {
  organization: objectId(0x55, 0x04, 0x0a),
  commonName: objectId(0x55, 0x04, 0x03),
  subjectAltName: objectId(0x55, 0x1d, 0x11),
  ecdsaWithSha256: objectId(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02),
};

function relativeName(type: Buffer, value: string): Buffer {
  return der(0x31, sequence(type, der(0x0c, Buffer.from(value))));
}

function utcTime(ms: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replace(/[-:T]/g, "")}Z`));
}
