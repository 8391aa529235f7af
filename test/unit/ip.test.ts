import fc from "fast-check";
import { expect, test } from "vitest";
import { cidrAt, cidrContains, cidrSize, parseCidr, printCidr } from "../../src/base/cidr.ts";
import { compareIp, ipBytes, ipFromBytes, isPort, parseIp } from "../../src/base/ip.ts";

test.each([
  ["10.0.0.1", "10.0.0.1"],
  ["010.0.0.1", undefined],
  ["10.0.0", undefined],
  ["10.0.0.256", undefined],
  ["::", "::"],
  ["::1", "::1"],
  ["FD00:0:0:0:0:0:0:1", "fd00::1"],
  ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
  ["1:2:3:4:5:6:0:8", "1:2:3:4:5:6:0:8"],
  ["::ffff:1.2.3.4", "::ffff:102:304"],
  ["1::2::3", undefined],
  ["1:2:3:4:5:6:7:8:9", undefined],
  ["fe80::1%eth0", undefined],
  ["", undefined],
])("parseIp(%j) is %j", (text, want) => {
  expect(parseIp(text)).toBe(want);
});

test.each([
  [1, true],
  [65_535, true],
  [0, false],
  [-1, false],
  [65_536, false],
  [80.5, false],
  [Number.NaN, false],
  [undefined, false],
])("isPort(%j) is %j", (port, want) => {
  expect(isPort(port)).toBe(want);
});

test("parseIp takes what ipFromBytes prints", () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) => {
      const text = ipFromBytes(bytes);
      expect(parseIp(text)).toBe(text);
      expect(ipBytes(text)).toEqual(bytes);
    }),
  );
});

test.each([
  ["10.1.2.3/8", "10.0.0.0/8"],
  [" 10.0.0.0/24", "10.0.0.0/24"],
  ["fd00::5/64", "fd00::/64"],
  ["10.0.0.0/33", undefined],
  ["10.0.0.0", undefined],
  ["10.0.0.0/08", undefined],
])("parseCidr(%j) is %j", (text, want) => {
  const cidr = parseCidr(text);
  expect(cidr === undefined ? undefined : printCidr(cidr)).toBe(want);
});

test("a range holds its own addresses and no others", () => {
  const cidr = parseCidr("10.96.0.0/16");
  if (cidr === undefined) throw new Error("unparsed");
  expect(cidrSize(cidr)).toBe(65536n);
  expect(cidrAt(cidr, 10)).toBe("10.96.0.10");
  expect(cidrContains(cidr, "10.96.255.255")).toBe(true);
  expect(cidrContains(cidr, "10.97.0.0")).toBe(false);
  expect(cidrContains(cidr, "::1")).toBe(false);
  expect(["::1", "10.0.0.2", "10.0.0.10"].sort(compareIp)).toEqual(["10.0.0.2", "10.0.0.10", "::1"]);
});
