import { afterEach, expect, test } from "vitest";
import type { AccessEntry, ProxySettings } from "../../../ingress/index.ts";
import { AccessLog, printAccess } from "../../../ingress/proxy/access-log.ts";
import { seconds, thousandths } from "../../../ingress/proxy/log-numbers.ts";
import type { LogFormat } from "../../../ingress/route/log-format.ts";
import { parseLogFormat, proxiedFormat } from "../../../ingress/translate/log-format.ts";
import { filteredRequest } from "../../support/filtered-request.ts";
import { get, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const entry: AccessEntry = {
  time: Date.UTC(2026, 0, 2, 3, 4, 5),
  clientIp: "192.0.2.1",
  method: "GET",
  host: "a.test",
  target: '/x"y',
  protocol: "HTTP/1.1",
  status: 200,
  requestBytes: 3,
  responseBytes: 17,
  milliseconds: 12.3456789,
  route: "a.test/",
  service: "shop/web",
  upstream: "10.0.0.1 80",
  reason: "",
  referer: "",
  userAgent: 'curl"\n\xff',
  requestId: "abc",
  user: "",
  namespace: "shop",
  ingress: "web",
  servicePort: 80,
  canary: "",
  traceId: "",
  spanId: "",
  upstreamTimes: { connectMs: 1, headMs: 5, wholeMs: 11 },
  source: filteredRequest({ target: '/x"y', headers: ["user-agent", 'curl"\n\xff', "x-a", "b"], secure: true }),
  format: undefined,
};

test.for<[name: string, change: Partial<AccessEntry>, want: string]>([
  [
    "a request",
    {},
    '192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /x\\x22y HTTP/1.1" 200 17 "-" "curl\\x22\\x0A\\xFF" 3 0.012 [shop-web-80] [] 10.0.0.1:80 17 0.011 200 abc',
  ],
  [
    "one that reached nobody",
    { upstream: "", service: "", status: 404, upstreamTimes: undefined, source: { ...entry.source, headers: [] } },
    '192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /x\\x22y HTTP/1.1" 404 17 "-" "-" 3 0.012 [-] [] - - - - abc',
  ],
])("nginx's line: %s", ([, change, want]) => {
  expect(printAccess({ ...entry, ...change }, "nginx")).toBe(want);
});

const inOrder =
  "time clientIp target status requestBytes responseBytes milliseconds upstreamMilliseconds upstream userAgent requestId method host protocol route service namespace ingress servicePort canary reason referer user traceId spanId".split(
    " ",
  );

test.for<[name: string, text: string]>([
  ["plain", "GET"],
  ["nothing", ""],
  ["what JSON escapes", 'a"b\\c\n\u0000\u001f'],
  ["what it does not", " !#[]^~\x7f\xff\u2028"],
])("an object a line has all there is of a request, as JSON has it: %s", ([, text]) => {
  const time = entry.time + 7;
  const texts = Object.fromEntries(Object.entries(entry).flatMap(([k, v]) => (typeof v === "string" ? [[k, text]] : [])));
  const line = printAccess({ ...entry, ...texts, time }, "json");
  const written = { time: "2026-01-02T03:04:05.007Z", milliseconds: 12.346, upstreamMilliseconds: entry.upstreamTimes?.wholeMs };
  const values: Readonly<Record<string, unknown>> = { ...entry, ...texts, ...written };
  expect(line).toBe(JSON.stringify(Object.fromEntries(inOrder.map((name) => [name, values[name]]))));
  const { source: _, format: __, upstreamTimes: ___, ...told } = { ...entry, ...written };
  expect(inOrder.toSorted()).toEqual(Object.keys(told).toSorted());
  expect(JSON.parse(printAccess({ ...entry, upstreamTimes: undefined }, "json"))).not.toHaveProperty("upstreamMilliseconds");
});

test("lines of one route tell each its own Service, object and canary, and what else they rarely differ in", () => {
  const changes: Partial<AccessEntry>[] = [
    { service: "shop/web-2" },
    { servicePort: 81 },
    { namespace: "shop-2" },
    { ingress: "web-2" },
    { canary: "shop-web-2-80" },
    { method: "HEAD" },
    { host: "b.test" },
    { protocol: "HTTP/2.0" },
    { referer: "https://a.test/" },
    { user: "ada" },
    { reason: "pending-full" },
    { spanId: "1" },
    {},
  ];
  for (const change of [...changes, ...changes])
    expect(JSON.parse(printAccess({ ...entry, ...change }, "json"))).toMatchObject({
      route: "a.test/",
      service: "shop/web",
      servicePort: 80,
      namespace: "shop",
      ingress: "web",
      canary: "",
      ...change,
    });
});

test.each([0, 0.0004, 0.0006, 0.01, 0.1, 0.9994, 0.9996, 1, 12.3, 12.05, 999.9999, 60_000.25, 3_600_000.001])(
  "%d is rounded to three places as numbers are written",
  (n) => {
    expect(thousandths(n)).toBe(String(Math.round(n * 1000) / 1000));
    expect(seconds(n)).toBe((Math.round(n) / 1000).toFixed(3));
  },
);

test.for<[format: string, how: LogFormat["escape"], want: string | undefined]>([
  ["$remote_addr|$remote_user|$status|$request_method", "default", "192.0.2.1|-|200|GET"],
  ['{"ua": "$http_user_agent", "t": $request_time, "ref": "$http_referer"}', "json", '{"ua": "curl\\"\\nÿ", "t": 0.012, "ref": ""}'],
  ["$http_user_agent", "none", 'curl" ÿ'],
  [`$${"{namespace}"}_$ingress_name:$service_name:$service_port:$location_path`, "default", "shop_web:web:80:/"],
  ["$upstream_connect_time $upstream_header_time $upstream_response_time", "default", "0.001 0.005 0.011"],
  ["$msec $time_iso8601 $scheme $server_protocol", "default", "1767323045.000 2026-01-02T03:04:05+00:00 https HTTP/1.1"],
  ["$host $http_host $uri $args $arg_a $http_x_a", "default", "a.test a.test /x\\x22y - - b"],
  ["no $$ variable", "default", "no $$ variable"],
  ["$server_name $proxy_add_x_forwarded_for", "default", "a.test 192.0.2.1"],
  ["$ssl_protocol|$connection_requests|$upstream_http_etag", "default", "-|-|-"],
  ['{"tls": "$ssl_cipher"}', "json", '{"tls": ""}'],
  ["$no_such", "default", undefined],
])("log-format-upstream %s", ([format, how, want]) => {
  const parsed = parseLogFormat(format);
  expect("parts" in parsed ? printAccess({ ...entry, format: { ...parsed, escape: how } }, "nginx") : undefined).toBe(want);
});

test.for<[how: LogFormat["escape"], want: string]>([
  ["default", "\\xC3\\xA9"],
  ["json", "é"],
  ["none", "é"],
])("text that was sent as UTF-8 leaves as nginx lets it, escape %s", ([how, want]) => {
  const source = filteredRequest({ headers: ["x-a", Buffer.from("é").toString("latin1")] });
  const format: LogFormat = { parts: [{ kind: "header", name: "x-a" }], escape: how };
  expect(printAccess({ ...entry, source, format }, "nginx")).toBe(want);
});

/** From the page of ingress-nginx on its log format: what most have who have one. */
const documented =
  '{"time": "$time_iso8601", "remote_addr": "$proxy_protocol_addr", "x_forwarded_for": "$proxy_add_x_forwarded_for", "request_id": "$req_id", ' +
  '"remote_user": "$remote_user", "bytes_sent": $bytes_sent, "request_time": $request_time, "status": $status, "vhost": "$host", ' +
  '"request_proto": "$server_protocol", "path": "$uri", "request_query": "$args", "request_length": $request_length, "duration": $request_time, ' +
  '"method": "$request_method", "http_referrer": "$http_referer", "http_user_agent": "$http_user_agent"}';

test.for<[proxied: boolean, address: string]>([
  [false, ""],
  [true, "192.0.2.1"],
])("the format that ingress-nginx documents is a JSON object a line; behind the PROXY protocol: %s", ([proxied, address]) => {
  const parsed = parseLogFormat(documented);
  if (!("parts" in parsed)) throw new Error(parsed.expected);
  const format: LogFormat = { ...(proxied ? proxiedFormat(parsed) : parsed), escape: "json" };
  const source = filteredRequest({ headers: ["x-forwarded-for", "198.51.100.9"], target: "/a?b=c" });
  expect(JSON.parse(printAccess({ ...entry, source, format }, "nginx"))).toMatchObject({
    remote_addr: address,
    x_forwarded_for: "198.51.100.9, 192.0.2.1",
    vhost: "a.test",
    path: "/a",
    request_query: "b=c",
    status: 200,
  });
});

test("what is left out: a route's requests, a list of URLs, all of them", async () => {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const entries: AccessEntry[] = [];
  const quiet = makeRoute({ id: "q", path: { kind: "prefix", path: "/quiet" }, accessLog: false });
  const { ingress, http } = await startLab([up.port], { routes: [makeRoute(), quiet], config: { accessLog: (e) => entries.push(e) } });
  const c = RawClient.connect(http);
  open.push(
    () => up.close(),
    () => ingress.close(),
    () => void c.socket.destroy(),
  );
  const none = { upserts: [], deletes: [] };
  const set = (settings: ProxySettings): void =>
    ingress.apply({ revision: 2, full: false, routes: none, pools: none, certificates: none, settings });
  let asked = 0;
  const ask = async (path: string): Promise<void> => {
    asked++;
    await c.send(get(path)).until((t) => t.split("HTTP/1.1 200").length - 1 === asked && t.endsWith("ok"));
  };
  set({
    unlogged: [
      { kind: "exact", text: "/healthz" },
      { kind: "regex", pattern: "^/z", ignoreCase: false },
    ],
  });
  for (const path of ["/a", "/quiet/x", "/healthz", "/healthz?x", "/zz"]) await ask(path);
  set({ accessLog: false });
  await ask("/b");
  expect(entries.map((e) => e.target)).toEqual(["/a", "/healthz?x"]);
});

test("JSON: one object, one line, whatever clients send", () => {
  const line = printAccess(entry, "json");
  expect(line).not.toContain("\n");
  const { source: _, format: __, upstreamTimes: ___, ...rest } = entry;
  expect(JSON.parse(line)).toEqual({ ...rest, time: "2026-01-02T03:04:05.000Z", milliseconds: 12.346, upstreamMilliseconds: 11 });
});

test("lines are written together, in order, and not over a reader that is behind", async () => {
  const written: string[] = [];
  let letGo: () => void = () => undefined;
  const log = new AccessLog("json", (lines) => {
    written.push(lines.toString());
    return new Promise((resolve) => {
      letGo = resolve;
    });
  });
  for (const status of [201, 202]) log.add({ ...entry, status });
  expect(written).toEqual([]);
  log.flush();
  log.add({ ...entry, status: 203 });
  log.flush();
  expect(written).toHaveLength(1);
  letGo();
  while (written.length < 2) await new Promise((resolve) => setImmediate(resolve));
  const statuses = written
    .join("")
    .trim()
    .split("\n")
    .map((l) => (JSON.parse(l) as AccessEntry).status);
  expect(statuses).toEqual([201, 202, 203]);
  letGo();
});

test("lines longer than the memory they are gathered in, and lines while nobody reads, come whole and in order", async () => {
  const written: Buffer[] = [];
  const letGo: (() => void)[] = [];
  const log = new AccessLog("json", (lines) => {
    written.push(lines);
    return new Promise((resolve) => letGo.push(resolve));
  });
  const targets = [`/${"a".repeat(30_000)}`, "/b", `/${"c".repeat(100_000)}`, "/d"];
  for (const target of targets) log.add({ ...entry, target, userAgent: "\u00e9".repeat(20_000) });
  log.flush();
  for (let i = 0; i < targets.length; i++) {
    letGo[i]?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  // not a copy: what was given must not have been written over since
  const seen = Buffer.concat(written).toString().trim().split("\n");
  expect(seen.map((l) => (JSON.parse(l) as AccessEntry).target)).toEqual(targets);
});

test("lines that nobody takes are dropped, and counted, before they fill the memory", () => {
  const log = new AccessLog("json", () => new Promise(() => undefined));
  const target = `/${"a".repeat(10_000)}`;
  for (let i = 0; i < 1_000; i++) log.add({ ...entry, target });
  const keptMiB = ((1_000 - log.dropped) * target.length) / 2 ** 20;
  expect(keptMiB).toBeGreaterThan(1);
  expect(keptMiB).toBeLessThan(5);
});

test("memory that a sink has read is used again", () => {
  const seen: string[] = [];
  const memory = new Set<ArrayBufferLike>();
  const log = new AccessLog("json", (lines) => {
    seen.push(lines.toString());
    memory.add(lines.buffer);
    return undefined;
  });
  for (let i = 0; i < 1_000; i++) log.add({ ...entry, status: i });
  log.flush();
  const lines = seen.join("").trim().split("\n");
  expect(lines.map((l) => (JSON.parse(l) as AccessEntry).status)).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  expect(seen.length).toBeGreaterThan(1);
  expect(memory.size).toBe(1);
});

test("each request is told once, with its endpoint", async () => {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const entries: AccessEntry[] = [];
  const { ingress, http } = await startLab([up.port], { config: { accessLog: (e) => entries.push(e) } });
  const c = RawClient.connect(http);
  open.push(
    () => up.close(),
    () => ingress.close(),
    () => void c.socket.destroy(),
  );
  await c.send(get("/x?y", "User-Agent: t\r\n")).until((t) => t.endsWith("ok"));
  await c.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").until((t) => t.includes("</html>"));
  expect(entries).toMatchObject([
    {
      status: 200,
      target: "/x?y",
      upstream: `127.0.0.1 ${up.port}`,
      service: "shop/web",
      userAgent: "t",
      responseBytes: 2,
      protocol: "HTTP/1.1",
    },
    { status: 404, host: "b.test", upstream: "", service: "" },
  ]);
});

test("routes that are not told of are not, nor is anything where the settings say so", async () => {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const entries: string[] = [];
  const silent = makeRoute({ id: "s", path: { kind: "exact", path: "/silent" }, accessLog: false });
  const { ingress, http } = await startLab([up.port], {
    routes: [makeRoute(), silent],
    config: { accessLog: (e) => entries.push(e.target) },
  });
  const c = RawClient.connect(http);
  open.push(
    () => up.close(),
    () => ingress.close(),
    () => void c.socket.destroy(),
  );
  const ask = (path: string, nth: number): Promise<string> => c.send(get(path)).until((t) => t.split("\r\n\r\nok").length > nth);
  await ask("/silent", 1);
  await ask("/told", 2);
  const nothing = { upserts: [], deletes: [] };
  ingress.apply({ revision: 2, full: false, routes: nothing, pools: nothing, certificates: nothing, settings: { accessLog: false } });
  await ask("/untold", 3);
  expect(entries).toEqual(["/told"]);
});
