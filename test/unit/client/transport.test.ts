import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { expect, test } from "vitest";
import { type KeyPair, makeCertificate } from "../../../src/apiserver/x509.ts";
import { createClient, readText } from "../../../src/client/client.ts";
import { createHttpTransport, type Transport } from "../../../src/client/transport.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function listening(server: Server, scheme: string): Promise<{ url: string; close(): Promise<void> }> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function withServer(handler: Handler, body: (t: Transport) => Promise<void>): Promise<void> {
  const server = await listening(createServer(handler), "http");
  const transport = createHttpTransport({ server: `${server.url}/prefix` });
  try {
    await body(transport);
  } finally {
    transport.close();
    await server.close();
  }
}

const s = AbortSignal.timeout(60_000);
const get = async (t: Transport, path = "/x"): Promise<string> => readText(await t.request({ method: "GET", path }, s));

test("paths come below the server's own, headers say what is wanted, bodies have their length", async () => {
  const seen: unknown[] = [];
  await withServer(
    (request, response) => {
      seen.push([request.method, request.url, request.headers.accept, request.headers["content-length"], request.headers["content-type"]]);
      response.end("{}");
    },
    async (t) => {
      await createClient(t).json({ method: "POST", path: "/a?b=c", body: "ä", headers: { "content-type": "text/plain" } });
    },
  );
  expect(seen).toEqual([["POST", "/prefix/a?b=c", "application/json", "2", "text/plain"]]);
});

test("a connection that the server closed while it was idle costs a read nothing, and leaves open watches alone", async () => {
  const requests = new Map<Socket, number>();
  const release = Promise.withResolvers<void>();
  await withServer(
    (request, response) => {
      if (request.url?.includes("watch") === true) {
        response.write("one\n");
        void release.promise.then(() => response.end("two\n"));
        return;
      }
      const count = (requests.get(request.socket) ?? 0) + 1;
      requests.set(request.socket, count);
      if (count > 1) request.socket.destroy();
      else response.end("ok");
    },
    async (t) => {
      const watch = get(t, "/watch");
      expect(await get(t)).toBe("ok");
      await new Promise((resolve) => setImmediate(resolve));
      expect(await get(t)).toBe("ok");
      expect(requests.size).toBe(2);
      release.resolve();
      expect(await watch).toBe("one\ntwo\n");
    },
  );
});

test("a server that is not there is named", async () => {
  const server = await listening(createServer(), "http");
  await server.close();
  const transport = createHttpTransport({ server: server.url });
  await expect(get(transport)).rejects.toThrow(`API server ${server.url.slice(7)}: connect ECONNREFUSED`);
  transport.close();
});

const lasting = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };

test("over TLS the server must be the right one, and rotated certificates serve at once without breaking a watch", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fairway-transport-"));
  const ca = await makeCertificate({ commonName: "ca", usage: "ca", ...lasting });
  const other = await makeCertificate({ commonName: "other", usage: "ca", ...lasting });
  const serving = await makeCertificate({ commonName: "api", usage: "server", ips: ["127.0.0.1"], issuer: ca, ...lasting });
  const write = async (name: string): Promise<void> => {
    const pair: KeyPair = await makeCertificate({ commonName: name, usage: "client", issuer: ca, ...lasting });
    writeFileSync(join(folder, "tls.crt"), pair.certPem);
    writeFileSync(join(folder, "tls.key"), pair.keyPem);
  };
  await write("first");
  const release = Promise.withResolvers<void>();
  const server = await listening(
    createTlsServer(
      { cert: serving.certPem, key: serving.keyPem, ca: ca.certPem, requestCert: true, rejectUnauthorized: true },
      (request, response) => {
        const name = String((request.socket as TLSSocket).getPeerCertificate().subject.CN);
        if (request.url?.includes("watch") !== true) {
          response.end(name);
          return;
        }
        response.write(name);
        void release.promise.then(() => response.end("!"));
      },
    ),
    "https",
  );
  const access = { server: server.url, caPem: ca.certPem, certFile: join(folder, "tls.crt"), keyFile: join(folder, "tls.key") };
  const transport = createHttpTransport(access);
  const stranger = createHttpTransport({ ...access, caPem: other.certPem });
  const named = createHttpTransport({ ...access, tlsServerName: "elsewhere" });
  try {
    const watch = get(transport, "/watch");
    expect(await get(transport)).toBe("first");
    await write("second");
    expect(await get(transport)).toBe("second");
    release.resolve();
    expect(await watch).toBe("first!");
    await expect(get(stranger)).rejects.toMatchObject({ name: "ClientError", code: "connection" });
    await expect(get(named)).rejects.toThrow(/elsewhere/);
  } finally {
    for (const t of [transport, stranger, named]) t.close();
    await server.close();
    rmSync(folder, { recursive: true });
  }
});
