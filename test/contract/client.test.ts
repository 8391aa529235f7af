import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { startApiServer } from "../../src/apiserver/server.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import { createClient } from "../../src/client/client.ts";
import { resources } from "../../src/client/resources.ts";
import type { ApiRequest } from "../../src/client/transport.ts";
import { createHttpTransport } from "../../src/client/transport.ts";
import { MemoryApi } from "../support/memory-api.ts";
import { transportContract } from "./client-transport.ts";

transportContract("memory", async () => ({ transport: new MemoryApi(), close: async () => undefined }));

transportContract("http", async () => {
  const server = await serve(new MemoryApi());
  const transport = createHttpTransport({ server: server.url });
  return {
    transport,
    async close() {
      transport.close();
      await server.close();
    },
  };
});

transportContract("API server", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "fairway-contract-"));
  const server = await startApiServer({
    dataDir,
    bind: [{ ip: "127.0.0.1", port: 0 }],
    advertise: ["127.0.0.1"],
    serviceCidrs: [parseCidr("10.96.0.0/16") ?? expect.fail()],
    store: "memory",
  });
  const { certPem, keyPem } = await server.pki.issueClientCert("test", ["system:masters"]);
  const transport = createHttpTransport({ server: `https://127.0.0.1:${server.port}`, caPem: server.pki.caPem, certPem, keyPem });
  const client = createClient(transport);
  await client.create(resources.namespaces, { metadata: { name: "shop" } });
  await client.create(resources.serviceAccounts, { metadata: { namespace: "shop", name: "default" } });
  return {
    transport,
    async close() {
      transport.close();
      await server.close();
      rmSync(dataDir, { recursive: true });
    },
  };
});

/** The same API over a socket. */
async function serve(api: MemoryApi): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const stop = new AbortController();
    response.on("close", () => stop.abort(new Error("the client went away")));
    const run = async (): Promise<void> => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      const r: ApiRequest = {
        method: request.method as ApiRequest["method"],
        path: request.url ?? "/",
        headers: request.headers as Record<string, string>,
        ...(body.length === 0 ? {} : { body }),
      };
      const answer = await api.request(r, stop.signal);
      response.writeHead(answer.status, { "content-type": "application/json" });
      response.flushHeaders();
      for await (const part of answer.body) response.write(part);
      response.end();
    };
    run().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
