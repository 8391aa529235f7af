import { createHash, verify, X509Certificate } from "node:crypto";
import { type DerValue, der, objectId, readDer, sequence } from "./der.ts";

/** A certificate, and where its authority says whether it still holds (RFC 6960). */
export interface OcspSubject {
  /** The certificate itself; DER. */
  readonly certificate: Buffer;
  readonly url: string;
  /** What the responder is asked; DER. */
  readonly request: Buffer;
  readonly issuer: X509Certificate;
  /** How responses name the certificate: the number its issuer gave it. */
  readonly serial: Buffer;
}

/** What a responder has said: that a certificate holds. Milliseconds since 1970. */
export interface OcspWord {
  readonly response: Buffer;
  readonly thisUpdate: number;
  /** It says nothing about later. */
  readonly nextUpdate: number;
}

/** Clocks differ. Milliseconds. */
const skew = 5 * 60_000;
/** A responder that names no end is asked again by then. Milliseconds. */
const withoutEnd = 24 * 3_600_000;

const sha1 = objectId(0x2b, 0x0e, 0x03, 0x02, 0x1a);
/** 1.3.6.1.5.5.7.48.1.1 */
const basicResponse = objectId(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01);
const ocspSigning = "1.3.6.1.5.5.7.3.9";

/** Of a chain of PEM texts, the first one's responder and issuer; undefined: it names no responder, or its issuer is not there. */
export function ocspSubject(chain: string): OcspSubject | undefined {
  const [leaf, ...others] = certificatesOf(chain);
  const url = /^OCSP - URI:(http:\/\/\S+)$/m.exec(leaf?.infoAccess ?? "")?.[1];
  if (leaf === undefined || url === undefined) return undefined;
  const issuer = others.find((c) => leaf.checkIssued(c) && leaf.verify(c.publicKey));
  if (issuer === undefined) return undefined;
  const [serial, name] = serialAndIssuer(leaf);
  const [, keyBits] = readDer(only(readDer(issuer.publicKey.export({ type: "spki", format: "der" }))).content);
  const key = keyBits?.content.subarray(1) ?? Buffer.alloc(0);
  const hashed = (bytes: Buffer): Buffer => der(0x04, createHash("sha1").update(bytes).digest());
  const id = sequence(sequence(sha1, der(0x05)), hashed(name), hashed(key), der(0x02, serial));
  return { certificate: leaf.raw, url, request: sequence(sequence(sequence(sequence(id)))), issuer, serial };
}

/**
 * Reads a response: that the certificate holds, said by its issuer or by whom that has named for it, and now. Everything else
 * is undefined, since a client is better told nothing.
 */
export function readOcspResponse(response: Buffer, subject: OcspSubject, now: number): OcspWord | undefined {
  try {
    return read(response, subject, now);
  } catch {
    // no DER, or other values than RFC 6960 has
    return undefined;
  }
}

function read(response: Buffer, { issuer, serial }: OcspSubject, now: number): OcspWord | undefined {
  const [status, wrapped] = readDer(only(readDer(response)).content);
  if (status?.tag !== 0x0a || status.content[0] !== 0 || wrapped?.tag !== 0xa0) return undefined;
  const [type, octets] = readDer(only(readDer(wrapped.content)).content);
  if (type?.whole.equals(basicResponse) !== true || octets?.tag !== 0x04) return undefined;
  const [data, algorithm, signature, certificates] = readDer(only(readDer(octets.content)).content);
  if (data === undefined || algorithm?.tag !== 0x30 || signature?.tag !== 0x03 || signature.content[0] !== 0) return undefined;
  const hash = hashes[only(readDer(algorithm.content).slice(0, 1), 0x06).whole.toString("hex")];
  const signers = [issuer, ...namedSigners(certificates, issuer, now)];
  if (hash === undefined || !signers.some((s) => verify(hash, data.whole, s.publicKey, signature.content.subarray(1)))) return undefined;
  // version and responder stand before, in tags of their own; then when it was produced, and the answers
  const answers = readDer(data.content).find((v) => v.tag === 0x30);
  for (const answer of answers === undefined ? [] : readDer(answers.content)) {
    const [id, holds, from, until] = readDer(answer.content);
    if (id === undefined || readDer(id.content)[3]?.content.equals(serial) !== true) continue;
    if (holds?.tag !== 0x80 || from === undefined) return undefined;
    const thisUpdate = timeOf(from);
    const nextUpdate = until?.tag === 0xa0 ? timeOf(only(readDer(until.content), 0x18)) : thisUpdate + withoutEnd;
    return thisUpdate <= now + skew && now < nextUpdate ? { response, thisUpdate, nextUpdate } : undefined;
  }
  return undefined;
}

/** Digests of signatures that are made today, by the object id of the signature. */
const hashes: Readonly<Record<string, string>> = Object.fromEntries(
  (
    [
      ["sha256", [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]],
      ["sha384", [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c]],
      ["sha512", [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d]],
      ["sha256", [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]],
      ["sha384", [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]],
      ["sha512", [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04]],
    ] as const
  ).map(([hash, bytes]) => [objectId(...bytes).toString("hex"), hash]),
);

/** Certificates that came along, of whom the issuer lets speak for it (RFC 6960 section 4.2.2.2). */
function namedSigners(certificates: DerValue | undefined, issuer: X509Certificate, now: number): readonly X509Certificate[] {
  if (certificates === undefined) return [];
  return readDer(only(readDer(certificates.content)).content)
    .map((c) => new X509Certificate(c.whole))
    .filter((c) => c.checkIssued(issuer) && c.verify(issuer.publicKey) && (c.keyUsage ?? []).includes(ocspSigning))
    .filter((c) => c.validFromDate.getTime() <= now + skew && now < c.validToDate.getTime());
}

function certificatesOf(chain: string): readonly X509Certificate[] {
  return (chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((pem) => new X509Certificate(pem));
}

/** RFC 5280 section 4.1: a version in a tag of its own, the serial number, the signature's algorithm, the issuer. */
function serialAndIssuer(certificate: X509Certificate): readonly [serial: Buffer, issuer: Buffer] {
  const fields = readDer(only(readDer(only(readDer(certificate.raw)).content).slice(0, 1)).content).filter((v) => v.tag !== 0xa0);
  const [serial, , issuer] = fields;
  if (serial === undefined || issuer === undefined) throw new RangeError("no certificate");
  return [serial.content, issuer.whole];
}

/** GeneralizedTime as DER has it: `20261123145350Z`. */
function timeOf({ tag, content }: DerValue): number {
  const m = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(content.toString("latin1"));
  if (tag !== 0x18 || m === null) throw new RangeError("no time");
  const [year = 0, month = 0, ...rest] = m.slice(1).map(Number);
  return Date.UTC(year, month - 1, ...(rest as [number, number, number, number]));
}

/** The one value that is there: a SEQUENCE, or of another tag. */
function only(values: readonly DerValue[], tag = 0x30): DerValue {
  const [value] = values;
  if (value === undefined || values.length > 1 || value.tag !== tag) throw new RangeError("one value was to be here");
  return value;
}
