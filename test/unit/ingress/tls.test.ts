import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import type { IngressServer, RouteDelta } from "../../../ingress/index.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { get, makeRoute, makeTable, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const pairs = ["first", "second"].map((commonName) => selfSignedCertificate(Date.now(), { commonName, host: "a.test" }));
const object = { kind: "Secret", namespace: "shop", name: "a" };
const certificate = (n: number): RouteDelta["certificates"]["upserts"][number] => {
  const pair = pairs[n % 2];
  return { host: "a.test", certificate: pair?.certificate ?? "", key: pair?.key ?? "", object };
};

type Lab = { readonly ingress: IngressServer; readonly https: number; readonly table: RouteDelta };

/** Shakes hands; the socket, or why not. */
function shake(port: number, o: ConnectionOptions = {}): Promise<TLSSocket | string> {
  return new Promise((resolve) => {
    const socket = tlsConnect({ port, host: "127.0.0.1", servername: "a.test", rejectUnauthorized: false, ...o });
    open.push(() => socket.destroy());
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message));
  });
}

async function opened(port: number, o: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = await shake(port, o);
  if (typeof socket === "string") throw new Error(socket);
  return socket;
}

describe.for(["auto", "portable"] as const)("over the transport %s", (transport) => {
  async function lab(
    o: { readonly ticketKeys?: Buffer; readonly settings?: RouteDelta["settings"]; readonly route?: Parameters<typeof makeRoute>[0] } = {},
  ): Promise<Lab> {
    const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    const tls = o.ticketKeys === undefined ? {} : { tls: { ticketKeys: o.ticketKeys } };
    const { ingress, https } = await startLab([up.port], { config: { transport, https: [{ ip: "127.0.0.1", port: 0 }], ...tls } });
    open.push(
      () => up.close(),
      () => ingress.close(),
    );
    const table = {
      ...makeTable([up.port], [makeRoute(o.route)]),
      certificates: { upserts: [certificate(0)], deletes: [] },
      ...(o.settings === undefined ? {} : { settings: o.settings }),
    };
    ingress.apply(table);
    return { ingress, https, table };
  }

  describe("what may be spoken", () => {
    test.for<[name: string, settings: RouteDelta["settings"], client: ConnectionOptions, want: string]>([
      ["1.2 and 1.3 by default", {}, { maxVersion: "TLSv1.2" }, "TLSv1.2"],
      ["1.3 is preferred", {}, {}, "TLSv1.3"],
      ["1.3 alone", { tls: { minVersion: "TLSv1.3" } }, { maxVersion: "TLSv1.2" }, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"],
      ["1.2 alone", { tls: { maxVersion: "TLSv1.2" } }, {}, "TLSv1.2"],
      [
        "a list of ciphers",
        { tls: { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" } },
        {},
        "ECDHE-ECDSA-AES256-GCM-SHA384",
      ],
      ["1.3 with 128 bits first", {}, {}, "TLS_AES_128_GCM_SHA256"],
      ["or with more, for who wants that", {}, { ciphers: "TLS_AES_256_GCM_SHA384" }, "TLS_AES_256_GCM_SHA384"],
      ["a list of 1.2 leaves those of 1.3", { tls: { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" } }, {}, "TLS_AES_128_GCM_SHA256"],
      [
        "a list with those of 1.3",
        { tls: { ciphers: "TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256" } },
        {},
        "TLS_CHACHA20_POLY1305_SHA256",
      ],
      [
        "1.2 by default has 128 bits first",
        { tls: { maxVersion: "TLSv1.2" } },
        { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256" },
        "ECDHE-ECDSA-AES128-GCM-SHA256",
      ],
      ["a name that is nobody's gets the default certificate", {}, { servername: "b.test" }, "Ingress default certificate"],
      ["or nothing", { tls: { rejectUnknownNames: true } }, { servername: "b.test" }, "refused"],
      ["HTTP/2 by ALPN", {}, { ALPNProtocols: ["h2"] }, "h2"],
      ["HTTP/1.1 alone", { http2: false }, { ALPNProtocols: ["h2", "http/1.1"] }, "http/1.1"],
    ])("%s", async ([, settings, client, want]) => {
      const { https } = await lab(settings === undefined ? {} : { settings });
      const socket = await shake(https, client);
      const seen =
        typeof socket === "string"
          ? [socket, "refused"]
          : [socket.getProtocol(), socket.getCipher().name, socket.alpnProtocol, socket.getPeerCertificate().subject.CN];
      expect(seen).toContain(want);
    });

    test("a host may have ciphers of its own", async () => {
      const hostTls = { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" };
      const { https } = await lab({ route: { hostTls } });
      const socket = await opened(https, { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384" });
      expect(socket.getCipher().name).toBe("ECDHE-ECDSA-AES256-GCM-SHA384");
      expect(typeof (await shake(https, { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }))).toBe("string");
    });

    test("settings that change count for the next handshake", async () => {
      const { ingress, https, table } = await lab();
      expect((await opened(https)).getProtocol()).toBe("TLSv1.3");
      ingress.apply({ ...table, revision: 2, settings: { tls: { maxVersion: "TLSv1.2" } } });
      expect((await opened(https)).getProtocol()).toBe("TLSv1.2");
    });
  });

  describe("sessions", () => {
    /** A session of a connection, once its ticket has come. */
    async function sessionOf(port: number, o: ConnectionOptions): Promise<Buffer> {
      const socket = await opened(port, o);
      const session = new Promise<Buffer>((resolve) => void socket.once("session", resolve));
      const c = new RawClient(socket).send(get());
      if (socket.getProtocol() === "TLSv1.2") return socket.getSession() ?? Buffer.alloc(0);
      await c.until((t) => t.endsWith("ok"));
      return session;
    }

    test.for(["TLSv1.2", "TLSv1.3"] as const)(
      "%s: resumed by another process that has the same keys, until there are others",
      async (version) => {
        const ticketKeys = Buffer.alloc(48, 7);
        const [one, two] = [await lab({ ticketKeys }), await lab({ ticketKeys })];
        const o: ConnectionOptions = { minVersion: version, maxVersion: version };
        const session = await sessionOf(one.https, o);
        expect((await opened(two.https, { ...o, session })).isSessionReused()).toBe(true);
        two.ingress.setTicketKeys(Buffer.alloc(48, 8));
        expect((await opened(two.https, { ...o, session })).isSessionReused()).toBe(false);
      },
    );

    test("a session is resumed also where names that are nobody's are refused", async () => {
      const { https } = await lab({ settings: { tls: { rejectUnknownNames: true, maxVersion: "TLSv1.2" } } });
      const session = await sessionOf(https, {});
      const socket = await opened(https, { session });
      expect(socket.isSessionReused()).toBe(true);
      expect(await new RawClient(socket).send(get()).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
    });

    test("without tickets, none is resumed", async () => {
      const { https } = await lab({ settings: { tls: { sessionTickets: false, maxVersion: "TLSv1.2" } } });
      const session = await sessionOf(https, {});
      expect((await opened(https, { session })).isSessionReused()).toBe(false);
    });
  });

  test("a certificate that changes cuts no connection: those that are open go on, new ones see the new one", async () => {
    const { ingress, https, table } = await lab();
    const before = await opened(https);
    const kept = new RawClient(before);
    await kept.send(get()).until((t) => t.endsWith("ok"));
    for (let n = 1; n < 6; n++) {
      ingress.apply({ ...table, revision: n + 1, full: false, certificates: { upserts: [certificate(n)], deletes: [] } });
      expect((await opened(https)).getPeerCertificate().subject.CN).toBe(n % 2 === 1 ? "second" : "first");
      kept.text = "";
      expect(await kept.send(get()).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
    }
  });
});
