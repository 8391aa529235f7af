import { afterEach, expect, test } from "vitest";
import { type IngressServer, IngressTranslator, type ProxySettings, type Route } from "../../../ingress/index.ts";
import type { OtlpSpan } from "../../../ingress/proxy/otlp-span.ts";
import { SpanExporter } from "../../../ingress/proxy/span-exporter.ts";
import { isInRatio, parseTraceParent, traceOf } from "../../../ingress/proxy/trace-context.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { makeService, makeSnapshot } from "./cluster.ts";
import { type Answer, get, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const id = "0af7651916cd43dd8448eb211c80319c";
const parent = "b7ad6b7169203331";

test.for<[header: string | undefined, want: boolean | undefined]>([
  [undefined, undefined],
  [`00-${id}-${parent}-01`, true],
  [`00-${id}-${parent}-00`, false],
  [`00-${id}-${parent}-03`, true],
  [`cc-${id}-${parent}-01-what-the-future-brings`, true],
  [`cc-${id}-${parent}-01.x`, undefined],
  [`00-${id}-${parent}-01-x`, undefined],
  [`ff-${id}-${parent}-01`, undefined],
  [`00-${"0".repeat(32)}-${parent}-01`, undefined],
  [`00-${id}-${"0".repeat(16)}-01`, undefined],
  [`00-${id.toUpperCase()}-${parent}-01`, undefined],
  [`00-${id}-${parent}`, undefined],
  [`00-${id.slice(1)}-${parent}-01`, undefined],
])("traceparent %s: sampled %s", ([header, want]) => {
  const got = parseTraceParent(header);
  expect(got?.sampled).toBe(want);
  if (want !== undefined) expect([got?.traceId, got?.parentId]).toEqual([id, parent]);
});

test("a share of traces, the same everywhere", () => {
  const low = `${"f".repeat(18)}${"0".repeat(14)}`;
  const high = `${"0".repeat(18)}${"f".repeat(14)}`;
  const half = `${"0".repeat(18)}8${"0".repeat(13)}`;
  expect([low, half, high].map((t) => isInRatio(t, 0))).toEqual([false, false, false]);
  expect([low, half, high].map((t) => isInRatio(t, 0.5))).toEqual([true, false, false]);
  expect([low, half, high].map((t) => isInRatio(t, 0.51))).toEqual([true, true, false]);
  expect([low, half, high].map((t) => isInRatio(t, 1))).toEqual([true, true, true]);
});

const on = { enabled: true, ratio: 1 };
test.for<[name: string, settings: ProxySettings["tracing"], route: Route["tracing"], header: string | undefined, want: object | undefined]>(
  [
    ["nothing is said", undefined, undefined, `00-${id}-${parent}-01`, undefined],
    ["off for all", { enabled: false, ratio: 1 }, undefined, undefined, undefined],
    ["off for this route", on, { enabled: false }, undefined, undefined],
    ["on for this route", { enabled: false, ratio: 1 }, { enabled: true }, undefined, { sampled: true, parentId: "" }],
    [
      "the caller decided: yes",
      { enabled: true, ratio: 0 },
      undefined,
      `00-${id}-${parent}-01`,
      { sampled: true, parentId: parent, traceId: id },
    ],
    ["the caller decided: no", on, undefined, `00-${id}-${parent}-00`, { sampled: false, parentId: parent, traceId: id }],
    [
      "the caller is not believed",
      { ...on, trustIncoming: false },
      undefined,
      `00-${id}-${parent}-00`,
      { sampled: true, parentId: "", traceId: "1".repeat(32) },
    ],
    [
      "the caller is not believed here",
      on,
      { enabled: true, trustIncoming: false },
      `00-${id}-${parent}-00`,
      { sampled: true, parentId: "" },
    ],
    ["none are wanted", { enabled: true, ratio: 0 }, undefined, undefined, { sampled: false }],
  ],
)("%s", ([, settings, tracing, header, want]) => {
  const route = makeRoute(tracing === undefined ? {} : { tracing });
  const fields = header === undefined ? [] : ["traceparent", header, "tracestate", "a=b", "tracestate", "c=d"];
  const trace = traceOf(settings, route, { fields, newId: () => "1".repeat(32) });
  if (want === undefined) expect(trace).toBeUndefined();
  else expect(trace).toMatchObject({ spanId: "1".repeat(16), ...want });
  if (trace?.parentId === parent) expect(trace.state).toBe("a=b,c=d");
});

interface Sent {
  readonly resourceSpans: readonly [
    { readonly resource: { readonly attributes: unknown }; readonly scopeSpans: readonly [{ readonly spans: readonly OtlpSpan[] }] },
  ];
}

const ok: Answer = (r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

/** An ingress before an endpoint, with a collector that keeps what it is told. */
async function lab(settings: Partial<NonNullable<ProxySettings["tracing"]>> = {}, answers: readonly Answer[] = [ok]) {
  const ups = await Promise.all(answers.map((answer) => RawEndpoint.start(answer)));
  const collector = await RawEndpoint.start(ok);
  const { ingress, http } = await startLab(ups.map((u) => u.port));
  open.push(...ups, collector, ingress);
  const [up] = ups;
  if (up === undefined) throw new Error("no endpoint");
  const none = { upserts: [], deletes: [] };
  const endpoint = `http://127.0.0.1:${collector.port}`;
  const tracing = { ...on, protocol: "http/json" as const, endpoint, serviceName: "edge", batch: { delayMs: 1 }, ...settings };
  ingress.apply({ revision: 2, full: false, routes: none, pools: none, certificates: none, settings: { tracing } });
  return { up, ups, collector, http, ingress };
}

async function ask(port: number, request: string, done = (t: string): boolean => t.endsWith("ok")): Promise<string> {
  const client = RawClient.connect(port);
  open.push({ close: async () => void client.socket.destroy() });
  return client.send(request).until(done);
}

async function counted(ingress: IngressServer, result: string, n: number): Promise<void> {
  while (!ingress.metrics().includes(`fairway_ingress_spans_total{result="${result}"} ${n}\n`))
    await new Promise((resolve) => setImmediate(resolve));
}

test("a request's span reaches the collector, and its endpoint is told of it", async () => {
  const { up, collector, http, ingress } = await lab();
  const before = Date.now();
  await ask(http, get("/x?y=1", `traceparent: 00-${id}-${parent}-01\r\ntracestate: v=1\r\nUser-Agent: t\r\n`));
  await counted(ingress, "sent", 2);
  const { head, body } = collector.seen[0] ?? { head: "", body: "" };
  expect(head).toMatch(/^POST \/v1\/traces HTTP\/1\.1\r\n/);
  expect(head).toMatch(/^content-type: application\/json$/im);
  const { resource, scopeSpans } = (JSON.parse(body) as Sent).resourceSpans[0];
  expect(resource.attributes).toEqual([{ key: "service.name", value: { stringValue: "edge" } }]);
  const [span, ofTry] = scopeSpans[0].spans;
  expect(span).toMatchObject({ traceId: id, parentSpanId: parent, traceState: "v=1", name: "GET /", kind: 2, status: {} });
  expect(ofTry).toMatchObject({ traceId: id, parentSpanId: span?.spanId, traceState: "v=1", name: "GET", kind: 3, status: {} });
  expect(up.seen[0]?.head).toContain(`traceparent: 00-${id}-${ofTry?.spanId}-01\r\ntracestate: v=1`);
  expect(up.seen[0]?.head).not.toContain(parent);
  const start = Number(BigInt(span?.startTimeUnixNano ?? 0) / 1_000_000n);
  const end = Number(BigInt(span?.endTimeUnixNano ?? 0) / 1_000_000n);
  expect(start).toBeGreaterThanOrEqual(before - 1);
  expect(end).toBeGreaterThanOrEqual(start);
  expect(end).toBeLessThanOrEqual(Date.now() + 1);
  const values = Object.fromEntries((span?.attributes ?? []).map((a) => [a.key, Object.values(a.value)[0]]));
  expect(values).toMatchObject({
    "http.request.method": "GET",
    "http.route": "/",
    "http.response.status_code": "200",
    "http.response.body.size": "2",
    "url.scheme": "http",
    "url.path": "/x",
    "url.query": "y=1",
    "server.address": "a.test",
    "client.address": "127.0.0.1",
    "user_agent.original": "t",
    "k8s.ingress.name": "web",
    "k8s.namespace.name": "shop",
    "k8s.service.name": "web",
  });
});

test("each try has a span, and its endpoint is told of that", async () => {
  const { collector, http, ingress, ups } = await lab({}, [(r) => r.socket.destroy(), ok]);
  await ask(http, get());
  await counted(ingress, "sent", 3);
  const [whole, ...tries] = (JSON.parse(collector.seen[0]?.body ?? "") as Sent).resourceSpans[0].scopeSpans[0].spans;
  expect(whole).toMatchObject({ kind: 2, status: {} });
  const told = tries.map((t) => Object.fromEntries(t.attributes.map((a) => [a.key, Object.values(a.value)[0]])));
  expect(tries.map((t) => [t.parentSpanId, t.status.code])).toEqual([
    [whole?.spanId, 2],
    [whole?.spanId, undefined],
  ]);
  expect(told).toEqual([
    { "http.request.method": "GET", "server.address": "127.0.0.1", "server.port": String(ups[0]?.port), "error.type": "upstream" },
    {
      "http.request.method": "GET",
      "server.address": "127.0.0.1",
      "server.port": String(ups[1]?.port),
      "http.request.resend_count": "1",
      "http.response.status_code": "200",
    },
  ]);
  for (const [i, up] of ups.entries()) expect(up.seen[0]?.head).toContain(`-${tries[i]?.spanId}-01`);
  const times = tries.map((t) => [BigInt(t.startTimeUnixNano), BigInt(t.endTimeUnixNano)] as const);
  for (const [start, end] of times) expect(end).toBeGreaterThanOrEqual(start);
  expect(times[1]?.[0]).toBeGreaterThanOrEqual(times[0]?.[1] ?? 0n);
});

test("an error of the server is one of the span", async () => {
  const { collector, http, ingress } = await lab({}, [(r) => r.socket.destroy()]);
  await ask(http, get(), (t) => t.includes("</html>"));
  await counted(ingress, "sent", 2);
  const span = (JSON.parse(collector.seen[0]?.body ?? "") as Sent).resourceSpans[0].scopeSpans[0].spans[0];
  expect(span?.status).toEqual({ code: 2 });
});

test("a trace that is not sampled goes on and is not told; one that is not traced passes as it is", async () => {
  const unsampled = await lab({ ratio: 0 });
  await ask(unsampled.http, get());
  expect(unsampled.up.seen[0]?.head).toMatch(/^traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00$/m);
  const off = await lab({ enabled: false });
  await ask(off.http, get("/", `traceparent: 00-${id}-${parent}-01\r\n`));
  expect(off.up.seen[0]?.head).toContain(`traceparent: 00-${id}-${parent}-01`);
  expect([unsampled, off].flatMap((l) => l.collector.seen)).toEqual([]);
});

test("a collector that is away holds nobody up", async () => {
  const { collector, http } = await lab({ endpoint: "http://127.0.0.1:1", batch: { delayMs: 1 } });
  for (let i = 0; i < 20; i++) expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 200 /);
  expect(collector.seen).toEqual([]);
});

/** An exporter whose collector answers when the test says so; time passes only in its sleeps. */
function makeExporter(answers: readonly (number | "away")[], batch: NonNullable<NonNullable<ProxySettings["tracing"]>["batch"]>) {
  const sent: number[] = [];
  const slept: number[] = [];
  const counts = { sent: 0, dropped: 0 };
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms) => {
      slept.push(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
  let n = 0;
  const exporter = new SpanExporter({
    clock,
    log: () => undefined,
    counts,
    settings: () => ({ ...on, protocol: "http/json", endpoint: "http://c.test", batch }),
    subrequests: {
      call: () => Promise.reject(new Error("nothing is called")),
      send: async ({ body }) => {
        sent.push((JSON.parse(String(body)) as Sent).resourceSpans[0].scopeSpans[0].spans.length);
        const answer = answers[n++] ?? 200;
        if (answer === "away") throw new Error("away");
        return { status: answer, headers: [], body: Buffer.alloc(0) };
      },
    },
  });
  return { exporter, sent, slept, counts };
}

const span = { traceId: id, spanId: parent } as OtlpSpan;

test.for<[name: string, answers: readonly (number | "away")[], spans: number, want: object]>([
  ["batches of what may go at once", [], 7, { sent: [3, 3, 1], counts: { sent: 7, dropped: 0 } }],
  ["what finds no room is dropped", [], 15, { sent: [3, 3, 3, 1], counts: { sent: 10, dropped: 5 } }],
  ["tried again, later each time", ["away", 503], 3, { sent: [3, 3, 3], counts: { sent: 3, dropped: 0 } }],
  ["given up", ["away", "away", 429], 3, { sent: [3, 3, 3], counts: { sent: 0, dropped: 3 } }],
  ["refused", [400], 3, { sent: [3], counts: { sent: 0, dropped: 3 } }],
])("%s", async ([, answers, spans, want]) => {
  const { exporter, sent, counts } = makeExporter(answers, { queueSize: 10, batchSize: 3, delayMs: 5 });
  for (let i = 0; i < spans; i++) exporter.add(span);
  while (counts.sent + counts.dropped < spans) await new Promise((resolve) => setImmediate(resolve));
  expect({ sent, counts }).toEqual(want);
  await exporter.close();
});

test("what waits is brought before the end", async () => {
  const { exporter, sent, counts } = makeExporter([], { batchSize: 100, delayMs: 1e9 });
  exporter.add(span);
  exporter.add(span);
  await exporter.close();
  expect([sent, counts.sent]).toEqual([[2], 2]);
});

test("the ConfigMap says where spans go; a Service of the cluster is asked at its endpoints", () => {
  const yaml = `${makeService("otel", ["10.0.9.1:4317"], 4317)}
kind: ConfigMap
metadata: {name: fairway-ingress, namespace: kube-system}
data: {enable-opentelemetry: "true", otlp-collector-host: otel.shop.svc, otel-sampler: TraceIdRatioBased, otel-sampler-ratio: "0.25", otel-service-name: edge, otel-max-queuesize: "9"}
---`;
  const translator = new IngressTranslator({ scope: { configMap: "kube-system/fairway-ingress" } });
  translator.apply(batchFromEmpty(makeSnapshot(yaml)));
  const { settings, pools } = translator.full();
  expect(settings?.tracing).toEqual({
    enabled: true,
    endpoint: "http://otel.shop.svc:4317",
    protocol: "grpc",
    serviceName: "edge",
    ratio: 0.25,
    trustIncoming: true,
    pool: "shop/otel:4317",
    batch: { queueSize: 9 },
  });
  expect(pools.upserts).toMatchObject([{ id: "shop/otel:4317", endpoints: [{ ip: "10.0.9.1", port: 4317 }] }]);
});
