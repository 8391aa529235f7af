import { connect as http2Connect } from "node:http2";
import { type SecureVersion, connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { IngressServer, Route } from "../../../ingress/index.ts";
import { rfc2253 } from "../../../ingress/proxy/client-certificate.ts";
import { type KeyPair, makeCertificate } from "../../../src/apiserver/x509.ts";
import { makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const hour = 3_600_000;
const valid = { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + hour) };
const past = { notBefore: new Date(Date.now() - 2 * hour), notAfter: new Date(Date.now() - hour) };

type Shown = "none" | "good" | "stranger" | "expired" | "deep";
const shown: Partial<Record<Shown, { cert: string; key: string }>> = {};
let up: RawEndpoint;
let ingress: IngressServer;
let https: number;
let http: number;

type Check = Extract<Route["filters"][number], { kind: "clientCertificate" }>;

function guarded(host: string, ca: string, o: Partial<Check> & { depth?: number } = {}): Route {
  const { depth = 1, ...check } = o;
  const verify = check.verify ?? "on";
  return makeRoute({
    id: host,
    host: { kind: "exact", name: host },
    hostTls: { clientCertificates: { verify, ca, depth } },
    filters: [{ kind: "clientCertificate", verify, passOn: false, ...check }],
  });
}

beforeAll(async () => {
  const ca = await makeCertificate({ commonName: "authority", usage: "ca", ...valid });
  const lower = await makeCertificate({ commonName: "lower", usage: "ca", issuer: ca, ...valid });
  const other = await makeCertificate({ commonName: "other", usage: "ca", ...valid });
  const client = (commonName: string, issuer: KeyPair, times = valid): Promise<KeyPair> =>
    makeCertificate({ commonName, organizations: ["Müller, Söhne"], usage: "client", issuer, ...times });
  const pairOf = ({ certPem, keyPem }: KeyPair, chain = ""): { cert: string; key: string } => ({ cert: certPem + chain, key: keyPem });
  shown.good = pairOf(await client("shop", ca));
  shown.stranger = pairOf(await client("shop", other));
  shown.expired = pairOf(await client("shop", ca, past));
  shown.deep = pairOf(await client("shop", lower), lower.certPem);
  up = await RawEndpoint.start((r) => r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${r.head.length}\r\n\r\n${r.head}`));
  const lab = await startLab([up.port], {
    config: { https: [{ ip: "127.0.0.1", port: 0 }] },
    routes: [
      makeRoute(),
      guarded("on.test", ca.certPem, { passOn: true }),
      guarded("optional.test", ca.certPem, { verify: "optional" }),
      guarded("noca.test", ca.certPem, { verify: "optional_no_ca" }),
      guarded("page.test", ca.certPem, { errorPage: "https://help.test/certificates" }),
      guarded("name.test", ca.certPem, { commonName: "CN=(till|stock)" }),
      guarded("shop.test", ca.certPem, { commonName: "CN=shop" }),
      guarded("shallow.test", ca.certPem, { depth: 0 }),
      guarded("other.test", other.certPem),
    ],
  });
  ({ ingress, https, http } = lab);
});

afterAll(async () => {
  await ingress.close();
  await up.close();
});

/** One request over a connection that was greeted as `servername`; the whole answer. */
async function ask(servername: string, client: Shown, host = servername, more = ""): Promise<string> {
  const socket = tlsConnect({ port: https, host: "127.0.0.1", servername, rejectUnauthorized: false, ...shown[client] });
  const c = new RawClient(socket).send(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${more}\r\n`);
  const text = await c.untilEnd();
  socket.destroy();
  return text;
}

describe("who may come in", () => {
  test.for<[host: string, client: Shown, status: number, verify?: string]>([
    ["on.test", "good", 200, "SUCCESS"],
    ["on.test", "none", 400],
    ["on.test", "stranger", 400],
    ["on.test", "expired", 400],
    ["on.test", "deep", 200, "SUCCESS"],
    ["shallow.test", "good", 200, "SUCCESS"],
    ["shallow.test", "deep", 400],
    ["optional.test", "good", 200, "SUCCESS"],
    ["optional.test", "none", 200, "NONE"],
    ["optional.test", "stranger", 400],
    ["noca.test", "none", 200, "NONE"],
    ["noca.test", "stranger", 200, "FAILED:unable to verify the first certificate"],
    ["noca.test", "expired", 400],
    ["page.test", "none", 302],
    ["name.test", "good", 403],
    ["shop.test", "good", 200, "SUCCESS"],
    ["a.test", "none", 200],
  ])("%s, %s: %i", async ([host, client, status, verify]) => {
    const text = await ask(host, client);
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(/^ssl-client-verify: (.*?)\r?$/m.exec(text)?.[1]).toBe(verify);
    if (status === 302) expect(text).toContain("Location: https://help.test/certificates\r\n");
  });

  test("the endpoint learns who it is, and not from the client", async () => {
    const lies = "SSL-Client-Verify: SUCCESS\r\nssl-client-subject-dn: CN=root\r\nssl-client-cert: x\r\n";
    const text = await ask("on.test", "good", "on.test", lies);
    expect(text).toContain("ssl-client-subject-dn: O=M\\C3\\BCller\\, S\\C3\\B6hne,CN=shop\r\n");
    expect(text).toContain("ssl-client-issuer-dn: CN=authority\r\n");
    expect(decodeURIComponent(/^ssl-client-cert: (.*?)\r?$/m.exec(text)?.[1] ?? "").trim()).toBe(shown.good?.cert.trim());
    expect(text.match(/ssl-client-(verify|subject-dn|cert):/gi)).toHaveLength(3);
    const none = await ask("optional.test", "none", "optional.test", lies);
    expect(none.match(/ssl-client-.*/gi)).toEqual(["ssl-client-verify: NONE"]);
  });

  test("over plain text nobody has shown a certificate", async () => {
    const c = RawClient.connect(http).send("GET / HTTP/1.1\r\nHost: on.test\r\nConnection: close\r\nssl-client-verify: SUCCESS\r\n\r\n");
    expect(await c.untilEnd()).toMatch(/^HTTP\/1\.1 400 /);
    c.socket.destroy();
  });
});

describe("a connection is good for hosts of one demand", () => {
  test.for<[greeted: string, host: string, status: number]>([
    ["a.test", "on.test", 421],
    ["other.test", "on.test", 421],
    ["optional.test", "on.test", 200],
    ["on.test", "a.test", 200],
  ])("greeted as %s and asked for %s: %i", async ([greeted, host, status]) => {
    expect(await ask(greeted, "good", host)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });

  test("HTTP/2 that carries several hosts", async () => {
    const session = http2Connect(`https://127.0.0.1:${https}`, { servername: "on.test", rejectUnauthorized: false, ...shown.good });
    const statusOf = (authority: string): Promise<unknown> =>
      new Promise((resolve) => {
        const stream = session.request({ ":path": "/", ":authority": authority });
        stream.on("response", (headers) => resolve(headers[":status"]));
        stream.resume();
      });
    expect(await Promise.all(["on.test", "other.test", "a.test", "shop.test"].map(statusOf))).toEqual([200, 421, 200, 200]);
    session.destroy();
  });
});

describe("a session is resumed for the terms it was made under, no others", () => {
  async function session(servername: string, client: Shown, version: SecureVersion): Promise<Buffer> {
    const socket = tlsConnect({
      port: https,
      host: "127.0.0.1",
      servername,
      rejectUnauthorized: false,
      maxVersion: version,
      ...shown[client],
    });
    const ticket = new Promise<Buffer>((resolve) => void socket.on("session", resolve));
    const c = new RawClient(socket).send(`GET / HTTP/1.1\r\nHost: ${servername}\r\n\r\n`);
    await c.until((t) => t.includes("\r\n\r\n"));
    const got = await ticket;
    socket.destroy();
    return got;
  }

  test.for<[version: SecureVersion, made: string, by: Shown, asked: string, status: number, reused: boolean]>(
    (["TLSv1.2", "TLSv1.3"] as const).flatMap((version) => [
      [version, "on.test", "good", "on.test", 200, true],
      [version, "other.test", "stranger", "on.test", 400, false],
      [version, "noca.test", "stranger", "on.test", 400, false],
      [version, "a.test", "none", "on.test", 400, false],
      [version, "a.test", "none", "a.test", 200, true],
    ]),
  )("%s: made for %s by %s, shown for %s: %i, resumed %s", async ([version, made, by, asked, status, reused]) => {
    const given = await session(made, by, version);
    const socket = tlsConnect({
      port: https,
      host: "127.0.0.1",
      servername: asked,
      rejectUnauthorized: false,
      maxVersion: version,
      session: given,
    });
    const c = new RawClient(socket).send(`GET / HTTP/1.1\r\nHost: ${asked}\r\nConnection: close\r\n\r\n`);
    expect(await c.untilEnd()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(socket.isSessionReused()).toBe(reused);
    socket.destroy();
  });
});

test("a demand that is taken back is not made any more", async () => {
  const nothing = { upserts: [], deletes: [] };
  const route = makeRoute({ id: "on.test", host: { kind: "exact", name: "on.test" } });
  ingress.apply({ revision: 2, full: false, routes: { upserts: [route], deletes: [] }, pools: nothing, certificates: nothing });
  expect(await ask("on.test", "none")).toMatch(/^HTTP\/1\.1 200 /);
});

test.for([
  ["CN=a", "CN=a"],
  ["C=DE\nOU=x + O=y\nCN=z", "CN=z,O=y+OU=x,C=DE"],
  ["CN=é\u{1F600}", "CN=\\C3\\A9\\F0\\9F\\98\\80"],
])("%j is written as RFC 2253 has it", ([given, want]) => {
  expect(rfc2253(given ?? "")).toBe(want);
});
