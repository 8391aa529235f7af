import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { Upstream, type UpstreamAddress } from "../../../dns/forward/upstream.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { printRcode } from "../../../dns/wire/record-type.ts";
import { printRecord } from "../../../dns/wire/zone-file.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";

const run = promisify(execFile);
/** Server blocks say at which port they listen, so the address is one that no other process has. */
const ip = `127.89.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`;
const ports = { tls: 8853, mutual: 8854, https: 8443, http: 8080 };
const pair = selfSignedCertificate(Date.now(), { commonName: "dns.test", host: "dns.test" });
const client = selfSignedCertificate(Date.now(), { commonName: "client.test", host: "client.test" });

/** What a block answers tells which one it was. */
const block = (key: string, address: string, more = ""): string =>
  `${key} {\n bind ${ip}\n hosts {\n  ${address} a.lan\n  no_reverse\n }\n${more}\n}\n`;
const corefile = [
  block("lan", "10.7.0.1"),
  block(`tls://lan:${ports.tls}`, "10.7.0.2", " tls server.crt server.key"),
  block(`tls://lan:${ports.mutual}`, "10.7.0.3", " tls server.crt server.key client.crt {\n  client_auth require_and_verify\n }"),
  block(`https://lan:${ports.https}`, "10.7.0.4", " tls server.crt server.key"),
  block(`https://lan:${ports.http}`, "10.7.0.5"),
].join("");

let dir = "";
let server: DnsServer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "fairway-listeners-"));
  writeFileSync(join(dir, "server.crt"), pair.certificate);
  writeFileSync(join(dir, "server.key"), pair.key);
  writeFileSync(join(dir, "client.crt"), client.certificate);
  server = startDnsServer({ listen: [{ ip, port: 0 }], blocks: readCorefile(corefile, "Corefile", { folder: dir }), upstreams: [] });
  await server.ready;
});
afterAll(async () => {
  await server.close();
  rmSync(dir, { recursive: true });
});

const query = (name = "a.lan."): Message => questionMessage({ name, type: 1, class: 1 }, { id: 0x1234 });
const describeAnswer = (m: Message): string => [printRcode(m.rcode), ...m.answers.map(printRecord)].join(" ");
const answerOf = (address: string): string => `NOERROR a.lan. 3600 IN A ${address}`;

async function ask(to: UpstreamAddress, tls: object = {}): Promise<string> {
  const upstream = new Upstream(to, { tryTimeout: 20_000, random: () => 0.5, tls: { ca: pair.certificate, ...tls } });
  try {
    return describeAnswer(await upstream.ask(query(), "udp", AbortSignal.timeout(20_000)));
  } finally {
    upstream.close();
  }
}

describe("a Corefile's listeners, each by its own block", () => {
  const own = { cert: client.certificate, key: client.key };
  test.each<[string, () => UpstreamAddress, object, string]>([
    ["dns://", () => ({ ip, port: server.addresses()[0]?.port ?? 0 }), {}, answerOf("10.7.0.1")],
    ["tls://", () => ({ ip, port: ports.tls, scheme: "tls", serverName: "dns.test" }), {}, answerOf("10.7.0.2")],
    ["tls:// with client_auth", () => ({ ip, port: ports.mutual, scheme: "tls", serverName: "dns.test" }), own, answerOf("10.7.0.3")],
    ["https://", () => ({ ip, port: ports.https, scheme: "https", serverName: "dns.test" }), {}, answerOf("10.7.0.4")],
  ])("%s", async (_, to, tls, want) => {
    expect(await ask(to(), tls)).toBe(want);
  });

  test("who shows no certificate where one is wanted has no answer", async () => {
    await expect(ask({ ip, port: ports.mutual, scheme: "tls", serverName: "dns.test" })).rejects.toThrow();
  });

  test("a plain listener has none of what a tls:// block serves", async () => {
    expect([server.addresses("tls"), server.addresses("https")].map((all) => all.map((a) => a.port))).toEqual([
      [ports.tls, ports.mutual],
      [ports.https, ports.http],
    ]);
  });
});

const media = "application/dns-message";
interface Asked {
  readonly method?: string;
  readonly type?: string;
  readonly body?: Buffer;
}

describe.each([
  ["https", ports.https, "10.7.0.4"],
  ["https:// without tls, as behind a proxy that ends it,", ports.http, "10.7.0.5"],
])("%s", (_, port, address) => {
  const overHttp = (path: string, { method = "GET", type, body }: Asked = {}): Promise<readonly [number, unknown, Buffer]> =>
    new Promise((resolve, reject) => {
      const options = { host: ip, port, path, method, agent: false, ...(type === undefined ? {} : { headers: { "content-type": type } }) };
      const sent = port === ports.http ? requestHttp(options) : requestHttps({ ...options, ca: pair.certificate, servername: "dns.test" });
      sent.on("error", reject);
      sent.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve([response.statusCode ?? 0, response.headers["content-type"], Buffer.concat(chunks)]));
      });
      sent.end(body);
    });
  const bytes = Buffer.from(encodeMessage(query()));

  test.each([
    ["GET", `/dns-query?dns=${bytes.toString("base64url")}`, {}],
    ["POST", "/dns-query", { method: "POST", type: media, body: bytes }],
  ])("is asked by %s", async (_method, path, options) => {
    const [status, type, answer] = await overHttp(path, options);
    expect([status, type, describeAnswer(decodeMessage(answer))]).toEqual([200, media, answerOf(address)]);
  });

  test.each([
    ["another path", "/", {}, 404],
    ["another method", "/dns-query", { method: "DELETE" }, 405],
    ["another type", "/dns-query", { method: "POST", type: "text/plain", body: bytes }, 415],
    ["no question", "/dns-query", {}, 400],
  ])("refuses %s", async (_what, path, options, status) => {
    expect((await overHttp(path, options))[0]).toBe(status);
  });
});

const has = (command: string): Promise<boolean> =>
  run(command, ["--version"]).then(
    () => true,
    () => false,
  );
describe.skipIf(!(await has("kdig")))("kdig", () => {
  test.each([
    ["+tls", ports.tls, ["+tls"], "10.7.0.2"],
    ["+tls with the server's certificate checked", ports.tls, ["+tls-ca=server.crt", "+tls-hostname=dns.test"], "10.7.0.2"],
    ["+https", ports.https, ["+https"], "10.7.0.4"],
    ["+https-get", ports.https, ["+https", "+https-get"], "10.7.0.4"],
  ])("%s", async (_, port, args, want) => {
    const { stdout } = await run("kdig", [`@${ip}`, "-p", String(port), ...args, "+short", "a.lan", "A"], { cwd: dir });
    expect(stdout.trim()).toBe(want);
  });
});

describe.skipIf(!(await has("curl")))("curl", () => {
  test.each([
    ["HTTP/2", "--http2"],
    ["HTTP/1.1", "--http1.1"],
  ])("POSTs over %s", async (_, version) => {
    writeFileSync(join(dir, "query"), encodeMessage(query()));
    const url = `https://dns.test:${ports.https}/dns-query`;
    const to = ["--cacert", "server.crt", "--connect-to", `dns.test:${ports.https}:${ip}:${ports.https}`];
    const args = [version, "-sS", "-m", "20", ...to, "-H", `content-type: ${media}`, "--data-binary", "@query", url];
    const { stdout } = await run("curl", args, { cwd: dir, encoding: "buffer" });
    expect(describeAnswer(decodeMessage(stdout))).toBe(answerOf("10.7.0.4"));
  });
});
