import { createPublicKey, verify } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { exchangeUdp } from "../../../dns/forward/exchange-udp.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { ZoneData } from "../../../dns/handler/zone-data.ts";
import { parseZoneText } from "../../../dns/handler/zone-text.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import type { Message } from "../../../dns/wire/message.ts";
import { canonicalName, encodeName, nameLabels, readName } from "../../../dns/wire/name.ts";
import { type ResourceRecord, typeOf } from "../../../dns/wire/record.ts";
import { writeRecordData } from "../../../dns/wire/record-data.ts";
import { parseType, printRcode, printType, typeNumbers } from "../../../dns/wire/record-type.ts";
import { WireWriter } from "../../../dns/wire/wire-writer.ts";
import { type CoreDns, coreDnsProgram, startCoreDns } from "../../support/coredns.ts";
import { signedZone } from "./signed-zone.ts";

/** Records as `owner TYPE`, signatures as `owner ~TYPE`, without the zone's name; `|` before the authority section. */
type Case = readonly [name: string, type: string, code: string, want: string];
const soa = "@ SOA, @ ~SOA";
const nsec = (owner: string): string => `${owner} NSEC, ${owner} ~NSEC`;

const cases: readonly Case[] = [
  ["www", "A", "NOERROR", "www A, www ~A |"],
  ["WWW", "AAAA", "NOERROR", "www AAAA, www ~AAAA |"],
  ["@", "SOA", "NOERROR", `${soa} |`],
  ["@", "DNSKEY", "NOERROR", "@ DNSKEY, @ ~DNSKEY |"],
  ["@", "NSEC", "NOERROR", `${nsec("@")} |`],
  ["@", "MX", "NOERROR", "@ MX, @ ~MX |"],
  ["alias", "A", "NOERROR", "alias CNAME, alias ~CNAME, www A, www ~A |"],
  ["alias", "TXT", "NOERROR", `alias CNAME, alias ~CNAME | ${soa}, ${nsec("www")}`],
  ["www", "TXT", "NOERROR", `| ${soa}, ${nsec("www")}`],
  // two proofs: no such name, and no wildcard at the closest one that exists
  ["nope", "A", "NXDOMAIN", `| ${soa}, ${nsec("mail")}, ${nsec("@")}`],
  // one proof says both
  ["x.www", "A", "NXDOMAIN", `| ${soa}, ${nsec("www")}`],
  ["b.deep", "A", "NOERROR", `| ${soa}, ${nsec("alias")}`],
  ["x.wild", "TXT", "NOERROR", `x.wild TXT, x.wild ~TXT | ${nsec("*.wild")}`],
  ["x.wild", "A", "NOERROR", `| ${soa}, ${nsec("*.wild")}`],
  ["host.safe", "A", "NOERROR", "| safe NS, safe DS, safe ~DS"],
  ["safe", "DS", "NOERROR", "safe DS, safe ~DS |"],
  ["host.open", "A", "NOERROR", `| open NS, ${nsec("open")}`],
  ["open", "DS", "NOERROR", `| ${soa}, ${nsec("open")}`],
];

/** What a real CoreDNS leaves out, or has besides. */
const differences: Readonly<Record<string, string>> = {
  "host.open A": "there a referral to an unsigned zone has no proof that it is unsigned (RFC 4035 section 3.1.4)",
  "alias TXT": "there an alias whose target has no such record ends without the zone's SOA (RFC 2308 section 2.2)",
};

const zone = "signed.test.";
const apex = canonicalName(zone);
const fullName = (name: string): string => (name === "@" ? apex : `${name}.${apex}`);

function describeRecord(r: ResourceRecord): string {
  const name = canonicalName(r.name);
  const owner = name === apex ? "@" : name.slice(0, -apex.length - 1);
  const isSignature = r.data.kind === "other" && r.data.type === typeNumbers.RRSIG;
  return `${owner} ${isSignature ? `~${printType(coveredBy(r))}` : printType(typeOf(r.data))}`;
}

function coveredBy({ data }: ResourceRecord): number {
  return data.kind === "other" ? Number.parseInt(data.hex.slice(0, 4), 16) : 0;
}

function describeAnswer({ answers, authority }: Message, isLeft: (line: string) => boolean = () => false): string {
  const lines = (records: readonly ResourceRecord[]): string =>
    [...new Set(records.map(describeRecord))]
      .filter((line) => !isLeft(line))
      .sort()
      .join(", ");
  return `${lines(answers)} | ${lines(authority)}`.trim();
}

function wanted(want: string): string {
  const [answers = "", authority = ""] = want.split("|").map((part) =>
    part
      .split(",")
      .map((line) => line.trim())
      .sort()
      .join(", "),
  );
  return `${answers} | ${authority}`.trim();
}

async function ask(port: number, name: string, type: string): Promise<Message> {
  const question = { name: fullName(name), type: parseType(type) ?? 0, class: 1 };
  const query = questionMessage(question, { id: 77 });
  const edns = { udpSize: 4096, version: 0, dnssecOk: true, options: [] };
  return exchangeUdp({ ip: "127.0.0.1", port }, { ...query, edns }, AbortSignal.timeout(10_000));
}

describe("a signed zone", () => {
  const records = parseZoneText(signedZone, zone, "db.signed");
  let dir = "";
  let server: DnsServer;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "fairway-signed-"));
    writeFileSync(join(dir, "db.signed"), signedZone);
    const blocks = readCorefile("signed.test {\n file db.signed\n bufsize 4096\n}", "Corefile", { folder: dir });
    server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks, upstreams: [] });
    await server.ready;
  });
  afterAll(async () => {
    await server.close();
    rmSync(dir, { recursive: true });
  });
  const port = (): number => server.addresses()[0]?.port ?? 0;

  test.each(cases)("%s %s is %s with %s", async (name, type, code, want) => {
    const answer = await ask(port(), name, type);
    expect([printRcode(answer.rcode), describeAnswer(answer)]).toEqual([code, wanted(want)]);
    expect(answer.edns?.dnssecOk).toBe(true);
    // what was signed is what is sent: every set of records that has a signature is as its signer saw it
    expect(unverified([...answer.answers, ...answer.authority], records)).toEqual([]);
  });

  test("who does not ask for them gets no signatures", () => {
    const data = new ZoneData(zone, records);
    for (const [name, type] of cases) {
      const number = parseType(type) ?? 0;
      const { answers, authority } = data.find(canonicalName(fullName(name)), number);
      const unasked = [...answers, ...authority].map((r) => typeOf(r.data)).filter((t) => t !== number);
      expect(unasked.filter((t) => t === typeNumbers.RRSIG || t === typeNumbers.NSEC || t === typeNumbers.DS)).toEqual([]);
    }
  });

  test("a zone whose denials are hashed is no zone here", () => {
    const hashed = `${signedZone}\nsigned.test. 0 IN NSEC3PARAM 1 0 0 -\n`;
    expect(() => new ZoneData(zone, parseZoneText(hashed, zone, "db"))).toThrow(/NSEC3, which is not served here/);
  });
});

/** Sets of records whose signature is of other bytes; the root of trust is the zone's own key. */
function unverified(sent: readonly ResourceRecord[], all: readonly ResourceRecord[]): readonly string[] {
  const key = all.find((r) => typeOf(r.data) === typeNumbers.DNSKEY)?.data;
  if (key?.kind !== "other") throw new Error("no key");
  const point = Buffer.from(key.hex, "hex").subarray(4);
  const [x, y] = [point.subarray(0, 32), point.subarray(32)].map((half) => half.toString("base64url"));
  const publicKey = createPublicKey({ key: { kty: "EC", crv: "P-256", x: x ?? "", y: y ?? "" }, format: "jwk" });
  return sent
    .filter((r) => r.data.kind === "other" && r.data.type === typeNumbers.RRSIG)
    .filter((signature) => {
      const { data, name } = signature;
      const bytes = Buffer.from(data.kind === "other" ? data.hex : "", "hex");
      const { next } = readName(bytes, 18);
      const set = sent.filter((r) => canonicalName(r.name) === canonicalName(name) && typeOf(r.data) === coveredBy(signature));
      const signed = Buffer.concat([bytes.subarray(0, next), ...set.map((r) => signedForm(r, bytes)).sort(Buffer.compare)]);
      return !verify("sha256", signed, { key: publicKey, dsaEncoding: "ieee-p1363" }, bytes.subarray(next));
    })
    .map(describeRecord);
}

/** RFC 4034 section 6.2; of a wildcard's record, the wildcard's name (section 3.1.8.1). */
function signedForm(r: ResourceRecord, signature: Buffer): Buffer {
  const labels = nameLabels(canonicalName(r.name));
  const count = signature.readUInt8(3);
  const owner = labels.length > count ? `*.${labels.slice(labels.length - count).join(".")}.` : canonicalName(r.name);
  const w = new WireWriter(0xffff);
  writeRecordData(w, r.data);
  const data = plainData(r) ?? Buffer.from(w.written);
  const head = Buffer.alloc(10);
  head.writeUInt16BE(typeOf(r.data));
  head.writeUInt16BE(r.class, 2);
  head.writeUInt32BE(signature.readUInt32BE(4), 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(owner), head, data]);
}

/** Signed names are never compressed. */
function plainData({ data }: ResourceRecord): Buffer | undefined {
  const numbers = (...values: readonly number[]): Buffer => {
    const out = Buffer.alloc(4 * values.length);
    for (const [i, value] of values.entries()) out.writeUInt32BE(value, 4 * i);
    return out;
  };
  if (data.kind === "SOA")
    return Buffer.concat([
      encodeName(data.primary),
      encodeName(data.mailbox),
      numbers(data.serial, data.refresh, data.retry, data.expire, data.minimum),
    ]);
  return undefined;
}

// a rival that is asked only where somebody gives it
if (coreDnsProgram !== undefined) {
  describe("CoreDNS", () => {
    let peer: CoreDns | undefined;
    beforeAll(async () => {
      const corefile = (port: number): string => `signed.test:${port} {\n bind 127.0.0.1\n file db.signed\n bufsize 4096\n}`;
      peer = await startCoreDns(corefile, { "db.signed": signedZone });
    }, 120_000);
    afterAll(() => peer?.close());
    test.each(cases.filter(([name, type]) => !(`${name} ${type}` in differences)))(
      "%s %s is %s with %s",
      async (name, type, code, want) => {
        const answer = await ask(peer?.port ?? 0, name, type);
        // it adds the zone's name servers to each answer
        const isLeft = (line: string): boolean => line === "@ NS" || line === "@ ~NS";
        expect([printRcode(answer.rcode), describeAnswer(answer, isLeft)]).toEqual([code, wanted(want)]);
      },
    );
  });
}
