import { type ClientHttp2Session, connect } from "node:http2";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeTestServer, type TestServer } from "./test-server.ts";

let api: TestServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  api = await makeTestServer();
  session = connect(`https://127.0.0.1:${api.server.port}`, { ca: api.server.pki.caPem, cert: api.admin.certPem, key: api.admin.keyPem });
});
afterAll(async () => {
  session.destroy();
  await api.close();
});

interface Got {
  readonly status: number;
  readonly text: string;
}

/** One request on the session; ends when `until` says so of the text so far, else with the answer. */
function ask(
  method: string,
  path: string,
  options: { readonly body?: object; readonly headers?: object; readonly until?: (text: string) => boolean } = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": method, ":path": path, "content-type": "application/json", ...options.headers });
    let status = 0;
    let text = "";
    stream.on("response", (headers) => {
      status = Number(headers[":status"]);
    });
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (options.until?.(text) === true) {
        stream.close();
        resolve({ status, text });
      }
    });
    stream.on("end", () => resolve({ status, text }));
    stream.on("error", reject);
    stream.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}

const cms = "/api/v1/namespaces/default/configmaps";

test("HTTP/2: requests and watches share one connection, and its certificate says who asks", async () => {
  const watching = ask("GET", `${cms}?watch=1&resourceVersion=`, { until: (text) => text.split("\n").length > 20 });
  const made = await Promise.all(Array.from({ length: 20 }, (_, i) => ask("POST", cms, { body: { metadata: { name: `c${i}` } } })));
  expect(new Set(made.map((m) => m.status))).toEqual(new Set([201]));
  const events = (await watching).text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string });
  expect(events.slice(0, 20).every((e) => e.type === "ADDED")).toBe(true);
  expect(api.server.metrics()).toContain('apiserver_request_total{verb="POST",code="201"} 20');
});

test("HTTP/2: a large body both ways, a refusal, impersonation with several groups", async () => {
  const made = await ask("POST", cms, { body: { metadata: { name: "large" }, data: { k: "x".repeat(800_000) } } });
  expect([made.status, made.text.length > 800_000]).toEqual([201, true]);
  const huge = await ask("POST", cms, { body: { metadata: { name: "huge" }, data: { k: "x".repeat(3 << 20) } } });
  expect([huge.status, JSON.parse(huge.text).reason]).toEqual([413, "RequestEntityTooLarge"]);
  const headers = { "impersonate-user": "jane", "impersonate-group": ["dev", "ops"] };
  const who = await ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", { body: {}, headers });
  expect(JSON.parse(who.text).status.userInfo.groups).toEqual(["dev", "ops", "system:authenticated"]);
});

test("HTTP/1.1 stays open between requests for as long as clients expect", async () => {
  expect((await api.call("GET", "/version")).headers["keep-alive"]).toBe("timeout=120");
});

test("a server that closes ends its watches, and does not wait for who stays", async () => {
  const other = await makeTestServer();
  const ended = other.watch(`${cms}?watch=1`, 100);
  const client = connect(`https://127.0.0.1:${other.server.port}`, {
    ca: other.server.pki.caPem,
    cert: other.admin.certPem,
    key: other.admin.keyPem,
  });
  client.on("error", () => undefined);
  await new Promise((resolve) => client.once("remoteSettings", resolve));
  await other.close();
  expect(await ended).toEqual([]);
  client.destroy();
});
