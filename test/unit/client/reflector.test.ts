import fc from "fast-check";
import { expect, test } from "vitest";
import type { ConfigMap } from "../../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { type ReflectorOptions, type Sink, startReflector } from "../../../src/client/reflector.ts";
import { resources } from "../../../src/client/resources.ts";
import type { ApiRequest, ApiResponse } from "../../../src/client/transport.ts";
import { LineSplitter } from "../../../src/client/watch-lines.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi, status } from "../../support/memory-api.ts";
import { settled } from "../../support/memory-kubelet.ts";

interface Table extends Sink<ConfigMap> {
  readonly objects: Map<string, ConfigMap>;
  readonly log: string[];
}

function makeTable(): Table {
  const objects = new Map<string, ConfigMap>();
  const log: string[] = [];
  const keyOf = (o: ConfigMap) => `${o.metadata?.namespace}/${o.metadata?.name}`;
  return {
    objects,
    log,
    replace(items) {
      objects.clear();
      for (const o of items) objects.set(keyOf(o), o);
      log.push(`replace ${items.length}`);
    },
    apply({ type, key, object }) {
      if (type === "put") objects.set(key, object);
      else objects.delete(key);
      log.push(`${type} ${key}`);
    },
    bookmark: (rev) => void log.push(`bookmark ${rev}`),
  };
}

async function started(api: MemoryApi, o: ReflectorOptions = {}) {
  const table = makeTable();
  const failures: string[] = [];
  const onFailure = (e: unknown, ms: number) => void failures.push(`${e instanceof Error ? e.message : String(e)} (${Math.round(ms)})`);
  const running = startReflector(api, resources.configMaps, (x) => x as ConfigMap, table, { random: () => 0, onFailure, ...o });
  return { table, failures, running };
}
const make = (api: MemoryApi, name: string) => createClient(api).create(resources.configMaps, { metadata: { namespace: "a", name } });
const gets = (api: MemoryApi) => api.requests.filter((r) => r.startsWith("GET")).map((r) => r.replace(/^GET \/api\/v1\/configmaps\?/, ""));

test("a streamed list, then changes on the same stream; bookmarks move the version", async () => {
  const api = new MemoryApi();
  await make(api, "x");
  const { table, running } = await started(api);
  await running.ready;
  await make(api, "y");
  api.bookmark();
  await settled(() => table.log.length === 3);
  expect(table.log).toEqual(["replace 1", "put a/y", "bookmark 102"]);
  expect(gets(api)).toEqual([
    "watch=true&allowWatchBookmarks=true&timeoutSeconds=300&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
  ]);
  await running.close();
});

test("a watch that ends goes on where it was, and loses nothing in between", async () => {
  const api = new MemoryApi();
  const { table, running } = await started(api);
  await running.ready;
  await make(api, "x");
  await settled(() => table.log.includes("put a/x"));
  api.endWatches();
  await make(api, "y");
  await settled(() => table.log.includes("put a/y"));
  expect(table.log).toEqual(["replace 0", "put a/x", "put a/y"]);
  expect(gets(api)[1]).toContain("resourceVersion=101");
  await running.close();
});

test("a version that is too old is listed anew", async () => {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const { table, running } = await started(api, { clock });
  await clock.advance(0);
  await make(api, "x");
  await clock.advance(0);
  api.intercept = (r) => (r.method === "GET" ? status(503, "ServiceUnavailable", "starting") : undefined);
  api.endWatches();
  await make(api, "y");
  api.compact();
  await clock.advance(10);
  api.intercept = undefined;
  await clock.advance(1000);
  expect(table.log).toEqual(["replace 0", "put a/x", "replace 2"]);
  expect([...table.objects.keys()]).toEqual(["a/x", "a/y"]);
  await running.close();
});

test.each(["refused", "ignored"] as const)("a server where streamed lists are %s gets a paged list and a watch", async (watchList) => {
  const api = new MemoryApi();
  api.watchList = watchList;
  await make(api, "x");
  const clock = new FakeClock();
  const { table, running } = await started(api, { clock });
  await clock.advance(25_000);
  await running.ready;
  await make(api, "y");
  await settled(() => table.log.includes("put a/y"));
  expect(table.log).toEqual(["replace 1", "put a/y"]);
  expect(gets(api).slice(1)).toEqual(["limit=500", "watch=true&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=101"]);
  await running.close();
});

test("failures wait longer each time, as long as the server asks, and not after a success", async () => {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const answers: ((r: ApiRequest) => ApiResponse | undefined)[] = [
    () => status(500, "InternalError", "one"),
    () => status(500, "InternalError", "two"),
    () => ({ ...status(429, "TooManyRequests", "three"), headers: { "retry-after": "7" } }),
    () => undefined,
  ];
  api.intercept = (r) => answers.shift()?.(r);
  const { failures, running } = await started(api, { clock, backoff: { first: 100, factor: 2, max: 1000, jitter: 0 } });
  await clock.advance(100);
  expect(failures).toEqual(["one (100)", "two (200)"]);
  await clock.advance(200);
  expect(failures.at(-1)).toBe("three (7000)");
  await clock.advance(7000);
  await running.ready;
  await running.close();
});

test("a server that ends every watch at once is not asked without pause", async () => {
  const api = new MemoryApi();
  const clock = new FakeClock();
  api.intercept = () => ({ status: 200, headers: {}, body: (async function* () {})() });
  const { failures, running } = await started(api, { clock, backoff: { first: 100, factor: 2, max: 1000, jitter: 0 } });
  await clock.advance(2000);
  expect(failures.length).toBe(5); // 100, 200, 400, 800, 1000
  await running.close();
});

test("an object that cannot be taken in, or a list that is always too old, is not asked for without pause", async () => {
  const expired = { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } };
  for (const bad of ["project", "expired"] as const) {
    const api = new MemoryApi();
    await make(api, "x");
    const clock = new FakeClock();
    if (bad === "expired") api.intercept = () => ({ status: 200, headers: {}, body: lines(expired) });
    const failures: string[] = [];
    const project = (o: unknown): ConfigMap => {
      if (bad === "project") throw new Error("no such shape");
      return o as ConfigMap;
    };
    const options = { clock, random: () => 0, backoff: { first: 100, factor: 2, max: 1000, jitter: 0 } };
    const onFailure = (e: unknown) => void failures.push(e instanceof Error ? e.message : "");
    const running = startReflector(api, resources.configMaps, project, makeTable(), { ...options, onFailure });
    await clock.advance(2000);
    expect(failures).toEqual(new Array(5).fill(bad === "project" ? "no such shape" : "the watch of configmaps was too old at once"));
    await running.close();
  }
});

async function* lines(...objects: readonly object[]): AsyncGenerator<Uint8Array> {
  for (const o of objects) yield Buffer.from(`${JSON.stringify(o)}\n`);
}

test("a connection that never ends is given up after its time", async () => {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const { table, running } = await started(api, { clock });
  await clock.advance(0);
  await running.ready;
  expect(api.watches).toBe(1);
  const before = gets(api).length;
  await clock.advance(331_000);
  expect(gets(api).length).toBe(before + 1);
  expect(table.log).toEqual(["replace 0"]);
  await running.close();
});

test("nonsense and endless lines are failures, not events", async () => {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const bodies = ["not json\n", `{"type":"ADDED"}\n`, `${"x".repeat(2000)}`];
  api.intercept = () => {
    const text = bodies.shift();
    return text === undefined
      ? undefined
      : {
          status: 200,
          headers: {},
          body: (async function* () {
            yield Buffer.from(text);
          })(),
        };
  };
  const { failures, running } = await started(api, { clock, maxEventBytes: 1000 });
  await clock.advance(10_000);
  await running.ready;
  expect(failures.map((f) => f.replace(/ \(.*/, ""))).toEqual([
    "not a watch event of configmaps: not json",
    `not a watch event of configmaps: {"type":"ADDED"}`,
    "a line of more than 1000 bytes in a watch",
  ]);
  await running.close();
});

test("a sink that throws sees the event again", async () => {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const table = makeTable();
  let fail = true;
  const sink: Sink<ConfigMap> = {
    ...table,
    apply(e) {
      if (fail) {
        fail = false;
        throw new Error("not now");
      }
      table.apply(e);
    },
  };
  const running = startReflector(api, resources.configMaps, (x) => x as ConfigMap, sink, { clock });
  await clock.advance(0);
  await make(api, "x");
  await clock.advance(1000);
  expect(table.log).toEqual(["replace 0", "put a/x"]);
  await running.close();
});

test("closed before the first list, ready rejects", async () => {
  const api = new MemoryApi();
  api.intercept = () => status(403, "Forbidden", "no");
  const { running } = await started(api, { clock: new FakeClock() });
  await running.close();
  await expect(running.ready).rejects.toThrow("was closed before its first list");
});

test("lines come out whole, however the bytes are cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme", maxLength: 20 })),
      fc.infiniteStream(fc.integer({ min: 1, max: 7 })),
      (texts, sizes) => {
        const lines = texts.map((t) => JSON.stringify(t));
        const bytes = Buffer.from(lines.map((l) => `${l}\n`).join(""));
        const splitter = new LineSplitter(1000);
        const out: string[] = [];
        for (let at = 0; at < bytes.length; ) {
          const size = sizes.next().value;
          out.push(...splitter.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(out).toEqual(lines);
        expect(splitter.end()).toBe("");
      },
    ),
  );
});
