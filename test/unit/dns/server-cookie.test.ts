import { expect, test } from "vitest";
import { ServerCookies } from "../../../dns/wire/server-cookie.ts";
import { sipHash24, sipKey } from "../../../dns/wire/sip-hash.ts";
import { ipBytes, parseIp } from "../../../src/base/ip.ts";

const hex = (text: string): Uint8Array => Buffer.from(text, "hex");

// the reference implementation's vectors: key 00..0f, inputs 00, 00 01, …
test.each([
  [0, "310e0edd47db6f72"],
  [1, "fd67dc93c539f874"],
  [7, "37d1018bf50002ab"],
  [8, "6224939a79f5f593"],
  [15, "e545be4961ca29a1"],
  [63, "724506eb4c328a95"],
])("SipHash-2-4 of %i bytes", (length, want) => {
  const out = new Uint8Array(8);
  const key = sipKey(Uint8Array.from({ length: 16 }, (_, i) => i));
  sipHash24(
    key,
    Uint8Array.from({ length: 64 }, (_, i) => i),
    length,
    out,
    0,
  );
  expect(Buffer.from(out).toString("hex")).toBe(want);
});

const secret = "e5e973e5a6b2a43f48e7dc849e37bfcf";
// RFC 9018 appendix A
test.each([
  ["a new client", secret, "198.51.100.100", 1559731985, "2464c4abcf10c957", "010000005cf79f111f8130c3eee29480", "unknown"],
  [
    "a cookie to be renewed",
    secret,
    "198.51.100.100",
    1559734385,
    "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
    "010000005cf7a871d4a564a1442aca77",
    "good",
  ],
  [
    "a cookie that is fresh",
    secret,
    "198.51.100.100",
    1559731986,
    "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
    "010000005cf79f111f8130c3eee29480",
    "good",
  ],
  [
    "a cookie with its reserved bits set, and too old",
    secret,
    "203.0.113.203",
    1559734700,
    "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
    "010000005cf7a9acf73a7810aca2381e",
    "unknown",
  ],
  [
    "a cookie of another secret",
    "445536bcd2513298075a5d379663c962",
    "2001:db8:220:1:59de:d0f4:8769:82b8",
    1559741961,
    "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
    "010000005cf7c609a6bb79d16625507a",
    "unknown",
  ],
  [
    "a cookie from the future",
    secret,
    "198.51.100.100",
    1559731000,
    "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
    undefined,
    "unknown",
  ],
])("%s", (_, key, ip, seconds, sent, want, verdict) => {
  const cookies = new ServerCookies(hex(key));
  const out = new Uint8Array(16);
  const bytes = hex(sent);
  const address = ipBytes(parseIp(ip) ?? "0.0.0.0");
  expect(cookies.answer(bytes, 0, bytes.length, { ip: address, seconds }, out, 0)).toBe(verdict);
  if (want !== undefined) expect(Buffer.from(out).toString("hex")).toBe(want);
});
