import fc from "fast-check";
import { expect, test } from "vitest";
import { type ProxyHeader, parseProxyHeader } from "../../../dns/wire/proxy-header.ts";
import { runs } from "../../support/runs.ts";

const signature = "0d0a0d0a000d0a515549540a";
const v4 = `${signature}2112000c0a0000010a0000021f900035`;
const v6 = `${signature}21210024${"20010db8000000000000000000000001".repeat(2)}1f900035`;
const text = (line: string): string => Buffer.from(line, "latin1").toString("hex");

test.each<[string, string, ProxyHeader]>([
  ["nothing yet", "", { kind: "incomplete" }],
  ["a query of 29 bytes", "001d1234", { kind: "none" }],
  ["a query of 3338 bytes", "0d0a1234", { kind: "none" }],
  ["a query of 20562 bytes", text("PR\0\0"), { kind: "none" }],
  ["half a signature", signature.slice(0, 10), { kind: "incomplete" }],
  ["a head without addresses", v4.slice(0, 32), { kind: "incomplete" }],
  ["IPv4 over UDP", `${v4}001d`, { kind: "header", bytes: 28, source: "10.0.0.1" }],
  ["IPv6 over TCP", v6, { kind: "header", bytes: 52, source: "2001:db8::1" }],
  ["the proxy itself", `${signature}20000000`, { kind: "header", bytes: 16 }],
  ["the proxy itself, with addresses", v4.replace("2112", "2012"), { kind: "header", bytes: 28 }],
  ["a path of a UNIX socket", `${signature}2131000201020304`, { kind: "header", bytes: 18 }],
  ["more behind the addresses", `${v4.replace("000c", "000f")}040000`, { kind: "header", bytes: 31, source: "10.0.0.1" }],
  ["addresses cut short", v4.replace("000c", "0008"), { kind: "malformed" }],
  ["version 3", v4.replace("2112", "3112"), { kind: "malformed" }],
  ["an unknown command", v4.replace("2112", "2212"), { kind: "malformed" }],
  ["more than a proxy says", v4.replace("000c", "ffff"), { kind: "malformed" }],
  ["a line", text("PROXY TCP4 192.0.2.1 192.0.2.2 5000 53\r\n\0\x1d"), { kind: "header", bytes: 40, source: "192.0.2.1" }],
  ["a line of IPv6", text("PROXY TCP6 2001:db8::1 ::1 5000 53\r\n"), { kind: "header", bytes: 36, source: "2001:db8::1" }],
  ["a line that does not say", text("PROXY UNKNOWN ffff::1 x y z\r\n"), { kind: "header", bytes: 29 }],
  ["half a line", text("PROXY TCP4 192.0.2.1"), { kind: "incomplete" }],
  ["a line without end", text(`PROXY TCP4 ${"1".repeat(120)}`), { kind: "malformed" }],
  ["a line of the wrong family", text("PROXY TCP6 192.0.2.1 192.0.2.2 5000 53\r\n"), { kind: "malformed" }],
  ["a line without ports", text("PROXY TCP4 192.0.2.1 192.0.2.2\r\n"), { kind: "malformed" }],
  ["a line with a name", text("PROXY TCP4 localhost 192.0.2.2 1 2\r\n"), { kind: "malformed" }],
])("%s", (_, hex, want) => {
  const bytes = Buffer.from(hex, "hex");
  expect(parseProxyHeader(bytes, bytes.length)).toEqual(want);
});

test("bytes cut anywhere are incomplete or the same, and never read past their end", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(v4, v6, text("PROXY TCP4 192.0.2.1 192.0.2.2 5000 53\r\n")),
      fc.nat(60),
      fc.uint8Array(),
      (hex, n, rest) => {
        const whole = Buffer.from(hex, "hex");
        if (n < whole.length) expect(parseProxyHeader(whole, n).kind).toBe("incomplete");
        const more = Buffer.concat([whole, rest]);
        expect(parseProxyHeader(more, more.length)).toEqual(parseProxyHeader(whole, whole.length));
        const made = parseProxyHeader(rest, rest.length);
        if (made.kind === "header") expect(made.bytes).toBeLessThanOrEqual(rest.length);
      },
    ),
    runs(300),
  );
});
