import { createSecureServer, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { encodeExport } from "../../../ingress/proxy/otlp-protobuf.ts";
import type { OtlpSpan } from "../../../ingress/proxy/otlp-span.ts";
import { Subrequests } from "../../../ingress/proxy/subrequest.ts";
import { makeCertificate } from "../../../src/apiserver/x509.ts";

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const span: OtlpSpan = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentSpanId: "00f067aa0ba902b7",
  traceState: "a=b",
  name: "GET /ü",
  kind: 2,
  startTimeUnixNano: "1800000000123456789",
  endTimeUnixNano: "1800000001123456789",
  attributes: [
    { key: "http.route", value: { stringValue: "/" } },
    { key: "http.response.body.size", value: { intValue: "300000" } },
    { key: "below", value: { intValue: "-1" } },
  ],
  status: { code: 2 },
};

type Field = readonly [number: number, value: bigint | Buffer];

/** A message of protobuf by its wire format alone: fields in their order, what has a length as bytes. */
function fieldsOf(message: Buffer): readonly Field[] {
  const out: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    if ((tag & 7) === 0) out.push([tag >> 3, varint()]);
    else if ((tag & 7) === 1) {
      out.push([tag >> 3, message.readBigUInt64LE(at)]);
      at += 8;
    } else if ((tag & 7) === 2) {
      const length = Number(varint());
      out.push([tag >> 3, message.subarray(at, at + length)]);
      at += length;
    } else throw new Error(`wire type ${tag & 7}`);
  }
  expect(at).toBe(message.length);
  return out;
}

function only(fields: readonly Field[], number: number): bigint | Buffer | undefined {
  const found = fields.filter(([n]) => n === number);
  expect(found).toHaveLength(1);
  return found[0]?.[1];
}

const inside = (fields: readonly Field[], number: number): readonly Field[] => fieldsOf(only(fields, number) as Buffer);

test("an export as protobuf: the numbers of opentelemetry-proto", () => {
  const resourceSpans = inside(fieldsOf(encodeExport([span, { ...span, status: {} }], "edge")), 1);
  const service = inside(inside(resourceSpans, 1), 1);
  expect([String(only(service, 1)), String(only(inside(service, 2), 1))]).toEqual(["service.name", "edge"]);
  const scopeSpans = inside(resourceSpans, 2);
  expect(String(only(inside(scopeSpans, 1), 1))).toBe("fairway");
  const spans = scopeSpans.filter(([n]) => n === 2).map(([, value]) => fieldsOf(value as Buffer));
  expect(spans).toHaveLength(2);
  const [first = [], second = []] = spans;
  expect([1, 2, 4].map((n) => (only(first, n) as Buffer).toString("hex"))).toEqual([span.traceId, span.spanId, span.parentSpanId]);
  expect([3, 5].map((n) => String(only(first, n)))).toEqual(["a=b", "GET /ü"]);
  expect([6, 7, 8].map((n) => only(first, n))).toEqual([2n, 1_800_000_000_123_456_789n, 1_800_000_001_123_456_789n]);
  expect(only(inside(first, 15), 3)).toBe(2n);
  expect(second.some(([n]) => n === 15)).toBe(false);
  const attributes = first.filter(([n]) => n === 9).map(([, value]) => fieldsOf(value as Buffer));
  expect(attributes.map((a) => [String(only(a, 1)), inside(a, 2).map(([n, v]) => [n, typeof v === "bigint" ? v : String(v)])])).toEqual([
    ["http.route", [[1, "/"]]],
    ["http.response.body.size", [[3, 300_000n]]],
    ["below", [[3, 2n ** 64n - 1n]]],
  ]);
});

type Collect = (stream: ServerHttp2Stream, message: Buffer, path: string) => void;

async function collector(answer: Collect, pair?: { readonly keyPem: string; readonly certPem: string }): Promise<string> {
  const server = pair === undefined ? createServer() : createSecureServer({ key: pair.keyPem, cert: pair.certPem });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const parts: Buffer[] = [];
    stream.on("error", () => undefined);
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => answer(stream, Buffer.concat(parts), headers[":path"] ?? ""));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => void server.close());
  return `${pair === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a call of gRPC: one message in, the status of its trailers out", async () => {
  const seen: (readonly [path: string, message: Buffer])[] = [];
  const url = await collector((stream, message, path) => {
    seen.push([path, message]);
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": seen.length === 1 ? "0" : "14" }));
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
  });
  const subrequests = new Subrequests({ endpointOf: () => undefined });
  open.push(() => subrequests.close());
  const call = { url, path: "/a.B/C", message: Buffer.from("hi"), timeoutMs: 10_000 };
  expect([await subrequests.call(call), await subrequests.call(call)]).toEqual([0, 14]);
  expect(seen[0]).toEqual(["/a.B/C", Buffer.from([0, 0, 0, 0, 2, 0x68, 0x69])]);
});

test.for<[name: string, answer: (stream: ServerHttp2Stream) => void, timeoutMs: number]>([
  ["ends without a status", (stream) => stream.respond({ ":status": 200 }, { endStream: true }), 10_000],
  ["is cut", (stream) => stream.close(2), 10_000],
  ["gets no answer", () => undefined, 50],
])("a call that %s fails", async ([, answer, timeoutMs]) => {
  const url = await collector(answer);
  const subrequests = new Subrequests({ endpointOf: () => undefined });
  open.push(() => subrequests.close());
  await expect(subrequests.call({ url, path: "/a.B/C", message: Buffer.alloc(0), timeoutMs })).rejects.toThrow(Error);
  await expect(subrequests.call({ url, pool: "none", path: "/a.B/C", message: Buffer.alloc(0), timeoutMs })).rejects.toThrow(/no endpoint/);
});

test("over TLS, where the certificate is good for the collector's name", async () => {
  const valid = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const ca = await makeCertificate({ commonName: "ca", usage: "ca", ...valid });
  const pair = await makeCertificate({ commonName: "otel.test", dnsNames: ["otel.test"], usage: "server", issuer: ca, ...valid });
  const url = new URL(await collector((stream) => stream.respond({ ":status": 200, "grpc-status": "0" }, { endStream: true }), pair));
  const endpoint = { ip: "127.0.0.1", port: Number(url.port) };
  const subrequests = new Subrequests({ endpointOf: () => endpoint });
  open.push(() => subrequests.close());
  const call = (name: string): Promise<number> =>
    subrequests.call({ url: `https://${name}:4317`, pool: "p", path: "/a.B/C", message: Buffer.alloc(0), timeoutMs: 10_000 });
  await expect(call("otel.test")).rejects.toThrow(/certificate/);
  const before = getCACertificates("default");
  open.push(() => setDefaultCACertificates(before));
  setDefaultCACertificates([...before, ca.certPem]);
  expect(await call("otel.test")).toBe(0);
  await expect(call("other.test")).rejects.toThrow(/altnames/);
});
