import { afterEach, expect, test } from "vitest";
import type { Route } from "../../../ingress/index.ts";
import { type Answer, get, makeForward, makeRoute, poolOf, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const say =
  (status: string, body: string, more = ""): Answer =>
  (r) =>
    r.socket.write(`HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n${more}\r\n${r.head.startsWith("HEAD") ? "" : body}`);

/** An ingress before an endpoint, with pages for 404 and 503 from another Service; no page server where there is none. */
async function lab(o: { readonly endpoint: Answer; readonly pages: Answer | "none" | "gone"; readonly filters?: Route["filters"] }) {
  const up = await RawEndpoint.start(o.endpoint);
  const pages = await RawEndpoint.start(typeof o.pages === "string" ? () => undefined : o.pages);
  const errorPages = { statuses: [404, 503], ...(o.pages === "none" ? {} : { pool: "pages" }) };
  const route = makeRoute({ action: makeForward({ errorPages }), filters: o.filters ?? [] });
  const { ingress, http } = await startLab([up.port], { routes: [route] });
  const none = { upserts: [], deletes: [] };
  const pool = poolOf(o.pages === "gone" ? [] : [pages.port], "pages");
  ingress.apply({ revision: 2, full: false, routes: none, pools: { upserts: [pool], deletes: [] }, certificates: none });
  open.push(up, pages, ingress);
  return { http, pages, up };
}

async function ask(port: number, request: string, done = (t: string): boolean => t.endsWith("page")): Promise<string> {
  const client = RawClient.connect(port);
  open.push({ close: async () => void client.socket.destroy() });
  return client.send(request).until(done);
}

test("an error is answered by the pages' Service, which is told of it", async () => {
  const { http, pages } = await lab({
    endpoint: say("404 Not Found", "not for the client"),
    pages: say("404 Not Found", "page", "Content-Type: text/x\r\nKeep-Alive: timeout=5\r\n"),
    filters: [{ kind: "responseHeaders", set: [{ name: "X-Ours", value: "1" }] }],
  });
  const answer = await ask(http, get("/x?y=1", "Accept: application/json\r\nX-Request-ID: id-1\r\nX-Code: 1\r\n"));
  expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
  expect(answer).toMatch(/\r\ncontent-type: text\/x\r\n/i);
  expect(answer).toContain("X-Ours: 1\r\n");
  expect(answer).not.toContain("not for the client");
  const head = pages.seen[0]?.head ?? "";
  expect(head).toMatch(/^GET \/ HTTP\/1\.1\r\n/);
  for (const line of [
    "host: a.test",
    "X-Code: 404",
    "X-Format: application/json",
    "X-Original-URI: /x?y=1",
    "X-Namespace: shop",
    "X-Ingress-Name: web",
    "X-Service-Name: web",
    "X-Service-Port: 80",
    "X-Request-ID: id-1",
  ])
    expect(head.split("\r\n")).toContain(line);
});

test.for<[name: string, method: string, status: string, pages: Answer | "none" | "gone", want: RegExp]>([
  ["the pages' Service chooses the status", "GET", "503 x", say("200 OK", "page"), /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\npage$/],
  ["other answers are the endpoint's", "GET", "500 x", say("200 OK", "no"), /^HTTP\/1\.1 500 x\r\n[\s\S]*page$/],
  [
    "without a Service: the page of this proxy",
    "GET",
    "404 x",
    "none",
    /^HTTP\/1\.1 404 Not Found\r\n[\s\S]*<h1>404 Not Found[\s\S]*<\/html>/,
  ],
  ["a Service without endpoints", "GET", "503 x", "gone", /^HTTP\/1\.1 503 Service Unavailable\r\n[\s\S]*<\/html>/],
  ["HEAD gets no body", "HEAD", "404 x", say("404 x", "page"), /^HTTP\/1\.1 404 Not Found\r\n[\s\S]*Content-Length: 4\r\n\r\n$/],
])("%s", async ([, method, status, pages, want]) => {
  const { http } = await lab({ endpoint: say(status, "page"), pages });
  expect(await ask(http, get().replace("GET", method), (t) => want.test(t))).toMatch(want);
});

test("what this proxy refuses has its page too, and the connection goes on", async () => {
  const { http, up } = await lab({
    endpoint: say("200 OK", "page"),
    pages: say("503 Service Unavailable", "page"),
    filters: [{ kind: "rateLimit", bucket: "b", perMinute: 1, burst: 0, status: 503 }],
  });
  const client = RawClient.connect(http);
  open.push({ close: async () => void client.socket.destroy() });
  await client.send(get()).until((t) => t.endsWith("page"));
  const text = await client.send(get()).until((t) => (t.match(/page$/gm)?.length ?? 0) >= 1 && t.includes(" 503 "));
  expect(text).toMatch(/HTTP\/1\.1 200 OK[\s\S]*HTTP\/1\.1 503 Service Unavailable/);
  expect(up.seen).toHaveLength(1);
});
