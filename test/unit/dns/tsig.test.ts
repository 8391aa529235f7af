import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseKeyFile } from "../../../dns/corefile/plugins/tsig.ts";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import type { DnsServer } from "../../../dns/server/dns-server.ts";
import { putU16, u16 } from "../../../dns/wire/big-endian.ts";
import { decodeMessage, encodeMessage } from "../../../dns/wire/message.ts";
import { encodeName } from "../../../dns/wire/name.ts";
import { printRcode } from "../../../dns/wire/record-type.ts";
import { takeTsig } from "../../../dns/wire/tsig.ts";
import { startShopServer } from "./shop-server.ts";

const run = promisify(execFile);
const secret = Buffer.from("a secret of thirty-two bytes, so.").toString("base64");
const otherSecret = Buffer.from("another one").toString("base64");
const corefile = `.:53 {
  kubernetes cluster.local
  transfer {
    to *
  }
  file db.big big.test
  tsig cluster.local big.test {
    secret k.test. ${secret}
    secrets keys.conf
    require AXFR IXFR
  }
}`;

let server: DnsServer;
let dir = "";
let port = 0;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "fairway-tsig-"));
  writeFileSync(join(dir, "keys.conf"), `// more keys\nkey "Other.Test." { algorithm hmac-sha512; secret "${otherSecret}"; };\n`);
  const hosts = Array.from({ length: 1500 }, (_, i) => `host-number-${i} 60 IN A 10.1.${i >> 8}.${i & 255}`);
  const big = ["$ORIGIN big.test.", "@ 60 IN SOA ns h 1 3600 600 86400 60", "@ 60 IN NS ns", ...hosts, ""].join("\n");
  writeFileSync(join(dir, "db.big"), big);
  const blocks = readCorefile(corefile, "Corefile", { folder: dir });
  ({ server, port } = await startShopServer(blocks));
});
afterAll(async () => {
  await server.close();
  rmSync(dir, { recursive: true });
});

interface Signing {
  readonly key?: string;
  readonly secret?: string;
  /** Seconds from now. */
  readonly late?: number;
  readonly macBytes?: number;
  readonly algorithm?: string;
}

/** A question with the signature that RFC 8945 section 4.3.3 tells, put together here by its text. */
function signedQuery(name: string, type: number, how: Signing): { readonly bytes: Uint8Array; readonly mac: Buffer } {
  const { key = "k.test.", late = 0, algorithm = "hmac-sha256." } = how;
  const message = Buffer.from(encodeMessage(questionMessage({ name, type, class: 1 }, { id: 0x4242 })));
  const time = Buffer.alloc(8);
  time.writeUIntBE(Math.floor(Date.now() / 1000) + late, 0, 6);
  time.writeUInt16BE(300, 6);
  const names = [Buffer.from(encodeName(key)), Buffer.from(encodeName(algorithm))] as const;
  const variables = Buffer.concat([names[0], Buffer.from("00ff00000000", "hex"), names[1], time, Buffer.alloc(4)]);
  const whole = createHmac("sha256", Buffer.from(how.secret ?? secret, "base64"))
    .update(message)
    .update(variables)
    .digest();
  const mac = whole.subarray(0, how.macBytes ?? whole.length);
  const size = Buffer.alloc(2);
  size.writeUInt16BE(mac.length);
  const data = Buffer.concat([names[1], time, size, mac, Buffer.from("424200000000", "hex")]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(data.length);
  const bytes = Buffer.concat([message, names[0], Buffer.from("00fa00ff00000000", "hex"), length, data]);
  bytes.writeUInt16BE(u16(message, 10) + 1, 10);
  return { bytes, mac };
}

/** The first message that comes back over TCP. */
function exchange(bytes: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const head = new Uint8Array(2);
    putU16(head, 0, bytes.length);
    socket.write(Buffer.concat([head, bytes]));
    let got = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 2 || got.length < 2 + got.readUInt16BE()) return;
      socket.destroy();
      resolve(got.subarray(2, 2 + got.readUInt16BE()));
    });
  });
}

describe("a signed query", () => {
  const web = "web.shop.svc.cluster.local.";
  test.each<[string, string, number, Signing, string]>([
    ["of a known key", web, 1, {}, "NOERROR signed 0"],
    ["for a whole zone", "cluster.local.", 252, {}, "NOERROR signed 0"],
    ["for the zone of a file", "big.test.", 252, {}, "NOERROR signed 0"],
    ["of a name that is not there", "nope.cluster.local.", 1, {}, "NXDOMAIN signed 0"],
    ["of an unknown key", web, 1, { key: "none.test." }, "NOTAUTH unsigned 17"],
    ["of an unknown algorithm", web, 1, { algorithm: "hmac-none." }, "NOTAUTH unsigned 17"],
    ["that does not hold", web, 1, { secret: otherSecret }, "NOTAUTH unsigned 16"],
    ["that does not hold, for a zone", "cluster.local.", 252, { secret: otherSecret }, "NOTAUTH unsigned 16"],
    ["of too long ago", web, 1, { late: -400 }, "NOTAUTH signed 18"],
    ["that is cut", web, 1, { macBytes: 16 }, "NOTAUTH signed 22"],
    ["that is cut too short", web, 1, { macBytes: 9 }, "FORMERR none"],
  ])("%s", async (_, name, type, how, want) => {
    const { bytes, mac } = signedQuery(name, type, how);
    const answer = await exchange(bytes);
    const tsig = takeTsig(answer);
    const code = printRcode((answer[3] ?? 0) & 15);
    if (tsig === undefined) {
      expect(`${code} none`).toBe(want);
      return;
    }
    const { record } = tsig;
    expect(`${code} ${record.mac.length === 0 ? "unsigned" : "signed"} ${record.error}`).toBe(want);
    expect(decodeMessage(tsig.bytes).id).toBe(0x4242);
    if (record.mac.length === 0) return;
    // section 5.3: the query's MAC, the message, and the variables of the answer
    const time = Buffer.alloc(8);
    time.writeUIntBE(record.time, 0, 6);
    time.writeUInt16BE(record.fudge, 6);
    const size = Buffer.alloc(2);
    size.writeUInt16BE(mac.length);
    const error = Buffer.alloc(4);
    error.writeUInt16BE(record.error, 0);
    error.writeUInt16BE(record.other.length, 2);
    const variables = [encodeName(record.key), Buffer.from("00ff00000000", "hex"), encodeName(record.algorithm), time, error, record.other];
    const own = createHmac("sha256", Buffer.from(secret, "base64"));
    for (const part of [size, mac, tsig.bytes, ...variables]) own.update(part);
    expect(Buffer.from(record.mac).toString("hex")).toBe(own.digest("hex"));
  });

  test.each([
    ["whole zones", "cluster.local.", 252, "REFUSED"],
    ["changes", "big.test.", 251, "REFUSED"],
    ["names", web, 1, "NOERROR"],
  ])("must be signed for whole zones here; without a signature %s are", async (_, name, type, want) => {
    const answer = await exchange(encodeMessage(questionMessage({ name, type, class: 1 }, { id: 1 })));
    expect(printRcode((answer[3] ?? 0) & 15)).toBe(want);
  });

  test("a signature that is not the last record, or does not end, is FORMERR", async () => {
    const { bytes } = signedQuery(web, 1, {});
    const doubled = Buffer.concat([bytes, bytes.subarray(bytes.length - 11), Buffer.from("0000290200000000000000", "hex")]);
    doubled.writeUInt16BE(u16(bytes, 10) + 1, 10);
    for (const bad of [doubled, bytes.subarray(0, -3)]) expect(((await exchange(bad))[3] ?? 0) & 15).toBe(1);
  });
});

test("keys of a file, comments and slashes within secrets included; what is none is told", () => {
  const text = 'key a.test { secret "AAAA//BBBB=="; };\n# one\n/* two\n */ key "B.Test." {\n algorithm hmac-sha256;\n secret CCCC;\n};';
  expect(parseKeyFile(text, "f")).toEqual([
    { name: "a.test.", secret: "AAAA//BBBB==" },
    { name: "b.test.", secret: "CCCC" },
  ]);
  expect(() => parseKeyFile("key a { algorithm x; };", "f")).toThrow("f: key a has no secret in base64");
  expect(() => parseKeyFile("options { };", "f")).toThrow('f: "options { };" is no key');
});

const has = (command: string, ...args: string[]): Promise<boolean> =>
  run(command, args).then(
    () => true,
    () => false,
  );
describe.each([
  ["dig", await has("dig", "-v")],
  ["kdig", await has("kdig", "--version")],
] as const)("%s checks what it gets", (command, there) => {
  const ask = async (...args: string[]): Promise<string> => {
    // both end with a code of their own where a signature is wrong
    const { stdout, stderr } = await run(command, ["@127.0.0.1", "-p", String(port), ...args]).catch(
      (e: { stdout: string; stderr: string }) => e,
    );
    return `${stdout}${stderr}`;
  };
  test.skipIf(!there)("of one message, and of many", async () => {
    const one = await ask("-y", `hmac-sha256:k.test:${secret}`, "web.shop.svc.cluster.local", "A");
    const many = await ask("-y", `hmac-sha512:other.test:${otherSecret}`, "big.test", "AXFR");
    expect(one).toContain("10.96.0.20");
    expect(many.match(/host-number-/g)?.length).toBe(1500);
    expect(`${one}${many}`).not.toMatch(/verif|validated/i);
  });
  test.skipIf(!there)("a wrong key gets nothing", async () => {
    expect(await ask("-y", `hmac-sha256:k.test:${otherSecret}`, "big.test", "AXFR")).not.toContain("host-number-");
  });
});
