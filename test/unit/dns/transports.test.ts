import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect as connectHttp2 } from "node:http2";
import { Agent, request as requestHttps } from "node:https";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { type DnsServer, type DnsServerConfig, startDnsServer } from "../../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { parseType, printRcode } from "../../../dns/wire/record-type.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { outcomeOf, printCaseName, snapshotOf, wantedOutcome } from "../../support/dns-cases.ts";
import { reverse, shop, shopCases } from "./shop.ts";

const run = promisify(execFile);
const pair = selfSignedCertificate(Date.now(), { commonName: "dns.test", host: "dns.test" });
const certificate = { cert: pair.certificate, key: pair.key };
const any = [{ ip: "127.0.0.1", port: 0 }];
const loopback = [parseCidr("127.0.0.1/32")].filter((c) => c !== undefined);

async function serve(config: Partial<DnsServerConfig>): Promise<DnsServer> {
  const kubernetes = { zones: ["cluster.local", ...reverse] };
  const server = startDnsServer({ kubernetes, listen: any, upstreams: [], ...config });
  await server.ready;
  const zone = new DnsZone({ kubernetes });
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  server.apply(zone.full());
  server.setSynced();
  return server;
}

let server: DnsServer;
const ports = { dns: 0, tls: 0, https: 0 };
beforeAll(async () => {
  server = await serve({ tls: [{ listen: any, certificate }], https: [{ listen: any, certificate }] });
  for (const scheme of ["dns", "tls", "https"] as const) ports[scheme] = server.addresses(scheme)[0]?.port ?? 0;
});
afterAll(() => server.close());

function query(name: string, type = "A", edit: (m: Message) => Message = (m) => m): Buffer {
  return Buffer.from(encodeMessage(edit(questionMessage({ name, type: parseType(type) ?? 0, class: 1 }, { id: 0x1717 }))));
}

function framed(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

/** The first `count` answers that come on a connection, or fewer where it closes before. */
function answersOn(socket: Socket, count: number): Promise<Message[]> {
  return new Promise((resolve, reject) => {
    const got: Message[] = [];
    let pending: Buffer = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("close", () => resolve(got));
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE()) {
        got.push(decodeMessage(pending.subarray(2, 2 + pending.readUInt16BE())));
        pending = pending.subarray(2 + pending.readUInt16BE());
      }
      if (got.length >= count) resolve(got);
    });
  });
}

async function onceOverTls(bytes: Buffer): Promise<Message> {
  const socket = connectTls({ port: ports.tls, host: "127.0.0.1", ca: certificate.cert, servername: "dns.test", ALPNProtocols: ["dot"] });
  socket.write(framed(bytes));
  const [answer] = await answersOn(socket, 1).finally(() => socket.destroy());
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

function overHttp2(
  path: string,
  o: { readonly method?: string; readonly type?: string; readonly body?: Buffer } = {},
): Promise<HttpAnswer> {
  const session = connectHttp2(`https://dns.test:${ports.https}`, { ca: certificate.cert, servername: "dns.test", lookup: toLoopback });
  return new Promise<HttpAnswer>((resolve, reject) => {
    session.on("error", reject);
    const stream = session.request({
      ":path": path,
      ":method": o.method ?? "GET",
      ...(o.type === undefined ? {} : { "content-type": o.type }),
    });
    const chunks: Buffer[] = [];
    let head: Record<string, unknown> = {};
    stream.on("error", reject);
    stream.on("response", (headers) => {
      head = { ...headers };
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => resolve({ status: Number(head[":status"]), headers: head, body: Buffer.concat(chunks) }));
    stream.end(o.body);
  }).finally(() => session.close());
}

const toLoopback = ((_name: string, _o: object, done: (e: null, a: unknown, f?: number) => void) =>
  (_o as { all?: boolean }).all === true ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)) as never;

const media = "application/dns-message";

describe("the shop's names over TLS and HTTPS", () => {
  test.each(shopCases.map((c) => [printCaseName(c), c] as const))("%s", async (_, c) => {
    const bytes = query(c.qname, c.qtype);
    expect(outcomeOf(await onceOverTls(bytes))).toEqual(wantedOutcome(c));
    const { status, body } = await overHttp2("/dns-query", { method: "POST", type: media, body: bytes });
    expect(status).toBe(200);
    expect(outcomeOf(decodeMessage(body))).toEqual(wantedOutcome(c));
  });
});

describe("over HTTPS", () => {
  const web = query("web.shop.svc.cluster.local.");
  const get = (bytes: Buffer): string => `/dns-query?dns=${bytes.toString("base64url")}`;

  test.each([
    ["of records lasts as long as the least of them", query("web.shop.svc.cluster.local.", "SRV"), "max-age=5"],
    ["of a long-lived record lasts long", query("dns-version.cluster.local.", "TXT"), "max-age=28800"],
    ["of a name that is not there lasts as its SOA says", query("nope.cluster.local."), "max-age=5"],
    ["of a refusal does not last", query("example.org."), "max-age=0"],
  ])("an answer %s", async (_, bytes, cache) => {
    const answer = await overHttp2(get(bytes));
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ "content-type": media, "content-length": String(answer.body.length), "cache-control": cache });
  });

  test("GET and POST give the same, HTTP/1.1 too", async () => {
    const got = await overHttp2(get(web));
    const posted = await overHttp2("/dns-query", { method: "POST", type: media, body: web });
    expect(got.body).toEqual(posted.body);
    const agent = new Agent({ ca: certificate.cert, servername: "dns.test", lookup: toLoopback });
    const old = await new Promise<Buffer>((resolve, reject) => {
      const r = requestHttps({ host: "dns.test", port: ports.https, path: get(web), agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve(Buffer.concat(chunks)));
      });
      r.on("error", reject);
      r.end();
    });
    agent.destroy();
    expect(old).toEqual(got.body);
  });

  test.each<[string, string, Parameters<typeof overHttp2>[1], number]>([
    ["another path", "/", {}, 404],
    ["no question", "/dns-query", {}, 400],
    ["what is no base64url", "/dns-query?dns=a+b/", {}, 400],
    ["less than a head", "/dns-query?dns=AAAA", {}, 400],
    ["an answer", get(Buffer.from(web).fill(0x84, 2, 3)), {}, 400],
    ["PUT", "/dns-query", { method: "PUT", body: Buffer.from("x") }, 405],
    ["another media type", "/dns-query", { method: "POST", type: "application/json", body: web }, 415],
    ["a message too long", "/dns-query", { method: "POST", type: media, body: Buffer.alloc(70_000) }, 413],
  ])("%s is refused", async (_, path, options, status) => {
    expect((await overHttp2(path, options)).status).toBe(status);
  });

  test("what cannot be read as a query is a DNS answer all the same", async () => {
    const { status, body } = await overHttp2("/dns-query", { method: "POST", type: media, body: web.subarray(0, 20) });
    expect([status, printRcode((body[3] ?? 0) & 15)]).toEqual([200, "FORMERR"]);
  });
});

test("answers over TLS are padded for those who pad, over plain TCP never", async () => {
  const padded = (name: string): Buffer =>
    query(name, "A", (m) => ({ ...m, edns: { udpSize: 1232, version: 0, dnssecOk: false, options: [{ code: 12, hex: "00" }] } }));
  for (const name of ["web.shop.svc.cluster.local.", "alias.shop.svc.cluster.local."]) {
    const { body } = await overHttp2("/dns-query", { method: "POST", type: media, body: padded(name) });
    expect(body.length).toBe(468);
    expect((await onceOverTls(padded(name))).edns?.options.map((o) => o.code)).toEqual([12]);
    const plain = connect(ports.dns, "127.0.0.1");
    plain.write(framed(padded(name)));
    const [answer] = await answersOn(plain, 1).finally(() => plain.destroy());
    expect(answer?.edns?.options).toEqual([]);
  }
});

test("many questions on one connection over TLS have an answer each", async () => {
  const socket = connectTls({ port: ports.tls, host: "127.0.0.1", ca: certificate.cert, servername: "dns.test" });
  const names = ["web", "alias", "store", "nope"];
  const all = Array.from({ length: 100 }, (_, id) => query(`${names[id % 4]}.shop.svc.cluster.local.`, "A", (m) => ({ ...m, id })));
  socket.write(Buffer.concat(all.map(framed)));
  const got = await answersOn(socket, 100).finally(() => socket.destroy());
  expect(got.map((m) => m.id).sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect(got.filter((m) => (m.rcode === 3) !== (m.id % 4 === 3))).toEqual([]);
});

const has = (command: string, ...args: string[]): Promise<boolean> =>
  run(command, args).then(
    () => true,
    () => false,
  );
const hasKdig = await has("kdig", "--version");
describe.skipIf(!hasKdig)("kdig", () => {
  test.each([
    ["TLS", (): string[] => ["-p", String(ports.tls), "+tls"]],
    ["HTTPS by POST", (): string[] => ["-p", String(ports.https), "+https"]],
    ["HTTPS by GET", (): string[] => ["-p", String(ports.https), "+https", "+https-get"]],
  ])("asks over %s", async (_, args) => {
    const { stdout } = await run("kdig", ["@127.0.0.1", ...args(), "+short", "web.shop.svc.cluster.local", "A"]);
    expect(stdout.trim()).toBe("10.96.0.20");
  });
});

describe("the PROXY protocol", () => {
  let proxied: DnsServer;
  let port = 0;
  beforeAll(async () => {
    // who gets recursion tells who is thought to be asking
    const allowed = [parseCidr("192.0.2.0/24"), parseCidr("2001:db8::/32")].filter((c) => c !== undefined);
    proxied = await serve({
      allowedClients: allowed,
      upstreams: [{ ip: "127.0.0.1", port: ports.dns }],
      proxyProtocol: loopback,
      tls: [{ listen: any, certificate }],
    });
    port = proxied.addresses()[0]?.port ?? 0;
  });
  afterAll(() => proxied.close());

  const binary = (source: string): Buffer =>
    Buffer.concat([
      Buffer.from("0d0a0d0a000d0a515549540a2111000c", "hex"),
      Buffer.from(source, "hex"),
      Buffer.from("0a000002", "hex"),
      Buffer.alloc(4),
    ]);
  const name = "web.shop.svc.cluster.local.";

  test.each([
    ["version 1", Buffer.from("PROXY TCP4 192.0.2.9 10.0.0.1 4000 53\r\n"), true],
    ["version 1 of another client", Buffer.from("PROXY TCP4 198.51.100.9 10.0.0.1 4000 53\r\n"), false],
    ["version 1, IPv6", Buffer.from("PROXY TCP6 2001:db8::9 ::1 4000 53\r\n"), true],
    ["version 2", binary("c0000209"), true],
    ["version 2 of another client", binary("c6336409"), false],
    ["no header", Buffer.alloc(0), false],
  ])("over TCP, %s", async (_, header, recursion) => {
    const socket = connect(port, "127.0.0.1");
    // cut where it hurts
    const all = Buffer.concat([header, framed(query(name))]);
    socket.write(all.subarray(0, 5));
    setImmediate(() => socket.write(all.subarray(5)));
    const [answer] = await answersOn(socket, 1).finally(() => socket.destroy());
    expect([answer?.rcode, answer?.recursionAvailable]).toEqual([0, recursion]);
  });

  test("over TLS the header comes before the handshake", async () => {
    const raw = connect(proxied.addresses("tls")[0]?.port ?? 0, "127.0.0.1");
    raw.write("PROXY TCP4 192.0.2.9 10.0.0.1 4000 853\r\n");
    const socket = connectTls({ socket: raw, ca: certificate.cert, servername: "dns.test" });
    socket.write(framed(query(name)));
    const [answer] = await answersOn(socket, 1).finally(() => socket.destroy());
    expect(answer?.recursionAvailable).toBe(true);
  });

  test("what only begins like a header ends the connection", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("PROXY TCP4 nobody\r\n");
    expect(await answersOn(socket, 1)).toEqual([]);
  });

  test.each([
    ["version 2", binary("c0000209"), true],
    ["no header", Buffer.alloc(0), false],
  ])("over UDP, %s; the answer goes to the proxy", async (_, header, recursion) => {
    const socket = createSocket("udp4");
    // more than one at once, so that some are read in a batch
    const got = new Promise<Message[]>((resolve, reject) => {
      const all: Message[] = [];
      socket.on("error", reject);
      socket.on("message", (bytes: Buffer) => {
        all.push(decodeMessage(bytes));
        if (all.length === 20) resolve(all);
      });
    });
    for (let id = 0; id < 20; id++) {
      const bytes = query(id % 2 === 0 ? name : "alias.shop.svc.cluster.local.", "A", (m) => ({ ...m, id }));
      socket.send(Buffer.concat([header, bytes]), port, "127.0.0.1");
    }
    const answers = await got;
    socket.close();
    expect(new Set(answers.map((m) => m.recursionAvailable))).toEqual(new Set([recursion]));
  });
});
