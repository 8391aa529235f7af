import { afterEach, expect, test } from "vitest";
import type { Route } from "../../../ingress/index.ts";
import { parseAnnotations } from "../../../ingress/translate/annotations.ts";
import { serviceOfUrl } from "../../../ingress/translate/auth-annotations.ts";
import { parseRequestText } from "../../../ingress/translate/request-text.ts";
import { type Answer, get, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

type Auth = Extract<Route["filters"][number], { kind: "externalAuth" }>;

const say =
  (head: string): Answer =>
  (r) =>
    r.socket.write(`HTTP/1.1 ${head}\r\nContent-Length: 0\r\n\r\n`);

const text = (value: string) => {
  const parts = parseRequestText(value);
  if ("expected" in parts) throw new Error(parts.expected);
  return parts;
};

/** An ingress before one endpoint, whose routes ask the given authority. */
async function lab(judge: Answer, change: Partial<Auth> = {}, beside: Route["filters"] = [], answer: Answer = say("200 OK")) {
  const up = await RawEndpoint.start(answer);
  const authority = await RawEndpoint.start(judge);
  const auth: Auth = {
    kind: "externalAuth",
    url: text(`http://127.0.0.1:${authority.port}/judge?of=$host`),
    responseHeaders: [],
    ...change,
  };
  const filters: Route["filters"] = beside.length === 0 ? [auth] : [{ kind: "satisfyAny", filters: [...guardsOf(beside), auth] }];
  const { ingress, http } = await startLab([up.port], { routes: [makeRoute({ filters })] });
  open.push(up, authority, ingress);
  return { http, up, authority };
}

function guardsOf(filters: Route["filters"]) {
  return filters.filter((f) => f.kind === "addressList" || f.kind === "auth");
}

async function ask(port: number, request = get()): Promise<string> {
  const c = RawClient.connect(port);
  open.push({ close: async () => void c.socket.destroy() });
  return c.send(request).until((t) => /\r\n\r\n/.test(t));
}

test.for<[status: string, always: boolean, cookie: boolean]>([
  ["200 OK", false, true],
  ["304 Not Modified", false, true],
  ["308 Permanent Redirect", false, true],
  ["404 Not Found", false, false],
  ["500 Internal Server Error", false, false],
  ["404 Not Found", true, true],
])("a cookie of who lets in, the endpoint having said %s, always %s: %s", async ([status, always, cookie]) => {
  const { http } = await lab(say("200 OK\r\nSet-Cookie: seen=1"), always ? { alwaysSetCookie: true } : {}, [], say(status));
  const answer = await ask(http);
  expect(answer).toContain(`HTTP/1.1 ${status}\r\n`);
  expect(/^Set-Cookie: seen=1\r$/m.test(answer)).toBe(cookie);
});

test("who the authority lets in goes on, with what it says of them and nothing they say of themselves", async () => {
  const { http, up, authority } = await lab(say("204 No Content\r\nX-User: ann\r\nSet-Cookie: seen=1\r\nX-Other: no"), {
    responseHeaders: ["x-user", "x-group"],
  });
  const answer = await ask(http, get("/a%20b?c=d", "X-User: root\r\nX-Group: wheel\r\nCookie: s=1\r\nX-Original-URL: http://evil/\r\n"));
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).toContain("Set-Cookie: seen=1\r\n");
  const seen = up.seen[0]?.head ?? "";
  expect(seen).toMatch(/\r\nx-user: ann(\r\n|$)/i);
  expect(seen).not.toMatch(/root|wheel|x-other/i);
  const question = authority.seen[0]?.head ?? "";
  expect(question).toMatch(/^GET \/judge\?of=a\.test HTTP\/1\.1\r\n/);
  for (const line of [
    `Host: 127.0.0.1:${authority.port}`,
    "Cookie: s=1",
    "X-Original-URL: http://a.test/a%20b?c=d",
    "X-Original-Method: GET",
    "X-Auth-Request-Redirect: /a%20b?c=d",
    "X-Real-IP: 127.0.0.1",
  ])
    expect(question.toLowerCase()).toContain(`\r\n${line.toLowerCase()}`);
  expect(question).not.toContain("evil");
});

test("a body waits for the verdict, goes to the endpoint, and not to the authority", async () => {
  const { http, up, authority } = await lab(say("200 OK"), { method: "POST" });
  const post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
  expect(await ask(http, post)).toMatch(/^HTTP\/1\.1 200 /);
  expect(up.seen[0]?.body).toBe("hello");
  expect(authority.seen[0]).toMatchObject({ body: "", head: expect.stringMatching(/^POST \/judge/) });
});

test.for<[name: string, verdict: string, change: Partial<Auth>, want: RegExp]>([
  ["401 with its challenge", "401 Unauthorized\r\nWWW-Authenticate: Bearer", {}, /^HTTP\/1\.1 401 .*WWW-Authenticate: Bearer\r\n/s],
  ["403", "403 Forbidden", {}, /^HTTP\/1\.1 403 /],
  ["anything else is 500", "302 Found\r\nLocation: http://elsewhere/", {}, /^HTTP\/1\.1 500 /],
  [
    "401 leads to the page where one signs in",
    "401 Unauthorized",
    { signIn: { url: text("https://login.test/start?x=1"), redirectParameter: "rd" } },
    /^HTTP\/1\.1 302 .*Location: https:\/\/login\.test\/start\?x=1&rd=http%3A%2F%2Fa\.test%2Fp%3Fq%3D1\r\n/s,
  ],
  [
    "a page that names the way back itself",
    "401 Unauthorized",
    { signIn: { url: text("https://login.test/?rd=$scheme://$http_host$escaped_request_uri"), redirectParameter: "rd" } },
    /Location: https:\/\/login\.test\/\?rd=http:\/\/a\.test%2Fp%3Fq%3D1\r\n/,
  ],
  [
    "403 does not lead there",
    "403 Forbidden",
    { signIn: { url: text("https://login.test/"), redirectParameter: "rd" } },
    /^HTTP\/1\.1 403 /,
  ],
])("refused: %s", async ([, verdict, change, want]) => {
  const { http, up } = await lab(say(verdict), change);
  expect(await ask(http, get("/p?q=1"))).toMatch(want);
  expect(up.seen).toEqual([]);
});

test("an authority that hangs up, or a Service of one without endpoints, is 500", async () => {
  const { http, up } = await lab((r) => void r.socket.destroy());
  expect(await ask(http)).toMatch(/^HTTP\/1\.1 500 /);
  const empty = await lab(say("200 OK"), { pool: "shop/auth:80" });
  expect(await ask(empty.http)).toMatch(/^HTTP\/1\.1 500 /);
  expect([up.seen, empty.up.seen, empty.authority.seen]).toEqual([[], [], []]);
});

test("a Service is asked at its endpoints, whatever name the URL has", async () => {
  const { http, up } = await lab(say("200 OK"), { url: text("http://auth.shop.svc.cluster.local/x"), pool: "p" });
  expect(await ask(http)).toMatch(/^HTTP\/1\.1 200 /);
  expect(up.seen.map((s) => s.head.split("\r\n")[0])).toEqual(["GET /x HTTP/1.1", "GET / HTTP/1.1"]);
});

test("verdicts are remembered by the key and status, as long as told", async () => {
  const { http, authority } = await lab(say("200 OK"), { cache: { key: text("$http_authorization"), seconds: { 200: 300 } } });
  for (const who of ["ann", "ann", "bob", "ann"]) await ask(http, get("/", `Authorization: ${who}\r\n`));
  expect(authority.seen.length).toBe(2);
  const strict = await lab(say("403 Forbidden"), { cache: { key: text("k"), seconds: { 200: 300 } } });
  for (let i = 0; i < 2; i++) expect(await ask(strict.http)).toMatch(/^HTTP\/1\.1 403 /);
  expect(strict.authority.seen.length).toBe(2);
});

test("satisfy any: an address that is allowed need not be judged; the wish for credentials is what others hear", async () => {
  const inside = await lab(say("401 Unauthorized"), {}, [{ kind: "addressList", allow: ["127.0.0.0/8"], deny: [] }]);
  expect(await ask(inside.http)).toMatch(/^HTTP\/1\.1 200 /);
  expect(inside.authority.seen).toEqual([]);
  const list: Route["filters"] = [{ kind: "addressList", allow: ["10.0.0.0/8"], deny: [] }];
  expect(await ask((await lab(say("401 Unauthorized"), {}, list)).http)).toMatch(/^HTTP\/1\.1 401 /);
  expect(await ask((await lab(say("200 OK"), {}, list)).http)).toMatch(/^HTTP\/1\.1 200 /);
});

function parse(annotations: Readonly<Record<string, string>>) {
  const complaints: string[] = [];
  const prefixed = Object.fromEntries(Object.entries(annotations).map(([k, v]) => [`nginx.ingress.kubernetes.io/${k}`, v]));
  const options = parseAnnotations(prefixed, (name, reason) => void complaints.push(`${reason} ${name}`));
  return { auth: options.externalAuth, satisfyAny: options.satisfyAny, refusal: options.refusal, complaints };
}

test("annotations: all of them, and their defaults", () => {
  expect(parse({ "auth-url": "http://auth.test/x" })).toEqual({
    auth: { url: text("http://auth.test/x"), responseHeaders: [] },
    satisfyAny: false,
    refusal: undefined,
    complaints: [],
  });
  expect(
    parse({
      "auth-url": "https://$host/oauth2/auth",
      "auth-method": "post",
      "auth-signin": "https://$host/oauth2/start",
      "auth-signin-redirect-param": "next",
      "auth-response-headers": "X-User, X-Group",
      "auth-cache-key": "$cookie_session",
      "auth-cache-duration": "200 202 10m, 401 30s",
      "auth-request-redirect": "/home",
      "auth-always-set-cookie": "true",
      satisfy: "any",
    }),
  ).toEqual({
    auth: {
      url: text("https://$host/oauth2/auth"),
      method: "POST",
      signIn: { url: text("https://$host/oauth2/start"), redirectParameter: "next" },
      responseHeaders: ["x-user", "x-group"],
      cache: { key: text("$cookie_session"), seconds: { 200: 600, 202: 600, 401: 30 } },
      requestRedirect: text("/home"),
      alwaysSetCookie: true,
    },
    satisfyAny: true,
    refusal: undefined,
    complaints: [],
  });
});

test.for<[annotations: Readonly<Record<string, string>>, complaint: string, shut: boolean]>([
  [{ "auth-url": "auth.test" }, "InvalidAnnotation auth-url", true],
  [{ "auth-url": "http://auth.test/$upstream_addr" }, "InvalidAnnotation auth-url", true],
  [{ "auth-url": "http://auth.test/", satisfy: "some" }, "InvalidAnnotation satisfy", true],
  [{ "auth-url": "http://auth.test/", "auth-cache-duration": "5m" }, "InvalidAnnotation auth-cache-duration", false],
  [{ "auth-url": "http://auth.test/", "auth-signin": "/login page" }, "InvalidAnnotation auth-signin", false],
])("annotations: %o", ([annotations, complaint, shut]) => {
  const { complaints, refusal } = parse(annotations);
  expect([complaints, refusal !== undefined]).toEqual([[complaint], shut]);
});

test.for<[url: string, want: ReturnType<typeof serviceOfUrl>]>([
  ["http://auth.shop.svc.cluster.local/x", { service: "shop/auth", port: 80 }],
  ["https://auth.shop.svc", { service: "shop/auth", port: 443 }],
  ["http://auth.shop.svc:8080/x?$host", { service: "shop/auth", port: 8080 }],
  ["http://auth.shop.svc$host", undefined],
  ["http://auth.example.com/", undefined],
  ["http://$host/", undefined],
])("the Service of %s", ([url, want]) => {
  expect(serviceOfUrl(text(url))).toEqual(want);
});
