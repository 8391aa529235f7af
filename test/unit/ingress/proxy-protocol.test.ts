import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseProxyHeader, printProxyHeader } from "../../../ingress/proxy/proxy-protocol.ts";
import { printProxyHeader2 } from "./proxy-lab.ts";

const four = { source: { ip: "192.0.2.7", port: 4711 }, destination: { ip: "198.51.100.1", port: 443 } };
const six = { source: { ip: "2001:db8::7", port: 1 }, destination: { ip: "2001:db8::1", port: 65_535 } };
const v2 = printProxyHeader2(four);
const changed = (at: number, byte: number): Buffer => Buffer.from(v2).fill(byte, at, at + 1);
const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

test.for<[name: string, bytes: Buffer, want: ReturnType<typeof parseProxyHeader>]>([
  ["version 1, IPv4", latin1("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nGET"), { bytes: 44, ends: four }],
  ["version 1, IPv6", latin1("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"), { bytes: 44, ends: six }],
  ["version 1, IPv4 inside of IPv6", latin1("PROXY TCP6 ::ffff:192.0.2.7 ::FFFF:c633:6401 4711 443\r\n"), { bytes: 55, ends: four }],
  ["version 1, unknown", latin1("PROXY UNKNOWN\r\n"), { bytes: 15, ends: undefined }],
  ["version 1, unknown with what is to be ignored", latin1("PROXY UNKNOWN a b c\r\n"), { bytes: 21, ends: undefined }],
  ["version 2, IPv4", v2, { bytes: 28, ends: four }],
  ["version 2, IPv6", printProxyHeader2(six), { bytes: 52, ends: six }],
  [
    "version 2 with more than addresses",
    Buffer.concat([changed(15, 15).subarray(0, 28), Buffer.from([4, 0, 0])]),
    { bytes: 31, ends: four },
  ],
  ["version 2, LOCAL: a health check of the proxy itself", changed(12, 0x20), { bytes: 28, ends: undefined }],
  ["version 2, a UNIX socket", changed(13, 0x31), { bytes: 28, ends: undefined }],
  ["version 2, datagrams", changed(13, 0x12), { bytes: 28, ends: undefined }],
  ["nothing yet", latin1(""), "more"],
  ["half a line", latin1("PROXY TCP4 192.0"), "more"],
  ["half a signature", v2.subarray(0, 5), "more"],
  ["half a version 2", v2.subarray(0, 27), "more"],
  ["HTTP", latin1("GET / HTTP/1.1\r\n"), "none"],
  ["TLS", Buffer.from([22, 3, 1, 0, 5]), "none"],
  ["in lower case", latin1("proxy TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"), "none"],
  ["a family that the addresses are not of", latin1("PROXY TCP6 192.0.2.7 198.51.100.1 4711 443\r\n"), "none"],
  ["an address that is none", latin1("PROXY TCP4 192.0.2.777 198.51.100.1 4711 443\r\n"), "none"],
  ["a port that is none", latin1("PROXY TCP4 192.0.2.7 198.51.100.1 70000 443\r\n"), "none"],
  ["two spaces", latin1("PROXY TCP4  192.0.2.7 198.51.100.1 4711 443\r\n"), "none"],
  ["a bare line feed", latin1("PROXY UNKNOWN\nGET"), "more"],
  ["a line without an end", latin1(`PROXY UNKNOWN ${"x".repeat(93)}`), "none"],
  ["version 3", changed(12, 0x31), "none"],
  ["an unknown command", changed(12, 0x22), "none"],
  ["more than anyone sends", changed(14, 0x20), "none"],
  ["fewer addresses than the family has", Buffer.concat([v2.subarray(0, 15), Buffer.from([4, 1, 1, 1, 1])]), "none"],
])("%s", ([, bytes, want]) => {
  expect(parseProxyHeader(bytes)).toEqual(want);
});

describe("what is printed is read", () => {
  const end4 = fc.record({ ip: fc.ipV4(), port: fc.nat(65_535) });
  const ends = fc.record({ source: end4, destination: end4 });
  test("in both versions, wherever it is cut", () => {
    fc.assert(
      fc.property(ends, fc.nat(60), (e, at) => {
        for (const bytes of [printProxyHeader(1, e), printProxyHeader(2, e)]) {
          expect(parseProxyHeader(Buffer.concat([bytes, latin1("rest")]))).toEqual({ bytes: bytes.length, ends: e });
          if (at < bytes.length) expect(parseProxyHeader(bytes.subarray(0, at))).toBe("more");
        }
      }),
    );
  });

  test("version 2 is what load balancers send", () => {
    for (const ends of [four, six]) expect(printProxyHeader(2, ends)).toEqual(printProxyHeader2(ends));
  });

  test.for<[version: 1 | 2, source: typeof four.source, destination: typeof four.source, text: string]>([
    [1, six.source, four.destination, "PROXY TCP6 2001:db8::7 ::ffff:c633:6401 1 443\r\n"],
    [1, four.source, six.destination, "PROXY TCP6 ::ffff:c000:207 2001:db8::1 4711 65535\r\n"],
    [2, six.source, four.destination, "\x21\x21\0\x24"],
    [2, four.source, six.destination, "\x21\x21\0\x24"],
  ])("ends of two families are told as IPv6, and read as what they are: version %i", ([version, source, destination, text]) => {
    const printed = printProxyHeader(version, { source, destination });
    expect(parseProxyHeader(printed)).toEqual({ bytes: printed.length, ends: { source, destination } });
    expect(printed.toString("latin1")).toContain(text);
  });
});

test("any bytes: an answer, and never more bytes than there are", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 80 }),
        fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.concat([v2.subarray(0, 12), b])),
      ),
      (b) => {
        const header = parseProxyHeader(Buffer.from(b));
        if (typeof header !== "string") expect(header.bytes).toBeLessThanOrEqual(b.length);
      },
    ),
  );
});
