import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { makeTestServer, type TestServer, type WatchEvent } from "./test-server.ts";

let api: TestServer;
beforeAll(async () => {
  api = await makeTestServer();
  for (const ns of ["a", "b"]) {
    await api.call("POST", "/api/v1/namespaces", { metadata: { name: ns } });
    for (const name of ["x", "y", "z"]) {
      const labels = { app: name, tier: ns === "a" ? "front" : "back" };
      await api.call("POST", `/api/v1/namespaces/${ns}/configmaps`, { metadata: { name, labels } });
    }
  }
});
afterAll(() => api.close());

const all = "/api/v1/configmaps";
const of = (ns: string): string => `/api/v1/namespaces/${ns}/configmaps`;
const names = (items: unknown): string[] =>
  (items as { metadata: { namespace: string; name: string } }[]).map((i) => `${i.metadata.namespace}/${i.metadata.name}`);
const shown = (events: readonly WatchEvent[]): string[] =>
  events.map((e) => `${e.type} ${String((e.object["metadata"] as { name?: string }).name ?? "")}`.trim());
const revOf = async (): Promise<string> => String((await api.call("GET", all)).get("metadata.resourceVersion"));

test.each([
  { name: "all namespaces", query: "", want: ["a/x", "a/y", "a/z", "b/x", "b/y", "b/z"] },
  { name: "equality", query: "labelSelector=app%3Dx", want: ["a/x", "b/x"] },
  { name: "set", query: "labelSelector=app+in+(x,y),tier+notin+(front)", want: ["b/x", "b/y"] },
  { name: "exists and does not", query: "labelSelector=tier,!other,app!%3Dz,tier%3Dfront", want: ["a/x", "a/y"] },
  { name: "by name", query: "fieldSelector=metadata.name%3Dz", want: ["a/z", "b/z"] },
  { name: "by namespace and not name", query: "fieldSelector=metadata.namespace%3Db,metadata.name!%3Dz", want: ["b/x", "b/y"] },
])("list: $name", async ({ query, want }) => {
  const reply = await api.call("GET", `${all}?${query}`);
  expect([reply.get("kind"), reply.get("apiVersion")]).toEqual(["ConfigMapList", "v1"]);
  expect(names(reply.get("items"))).toEqual(want);
});

test("pages show one revision, whatever is written meanwhile", async () => {
  const first = await api.call("GET", `${all}?limit=2`);
  expect([names(first.get("items")), first.get("metadata.remainingItemCount")]).toEqual([["a/x", "a/y"], 4]);
  await api.call("POST", of("a"), { metadata: { name: "yy" } });
  await api.call("DELETE", `${of("b")}/z`);
  const second = await api.call("GET", `${all}?limit=2&continue=${String(first.get("metadata.continue"))}`);
  expect([names(second.get("items")), second.get("metadata.remainingItemCount")]).toEqual([["a/z", "b/x"], 2]);
  const third = await api.call("GET", `${all}?limit=2&continue=${String(second.get("metadata.continue"))}`);
  expect([names(third.get("items")), third.get("metadata.continue")]).toEqual([["b/y", "b/z"], undefined]);
  expect(third.get("metadata.resourceVersion")).toBe(first.get("metadata.resourceVersion"));
  const selected = await api.call("GET", `${all}?limit=1&labelSelector=app%3Dx`);
  expect([selected.get("metadata.remainingItemCount"), typeof selected.get("metadata.continue")]).toEqual([undefined, "string"]);
  await api.call("DELETE", `${of("a")}/yy`);
  await api.call("POST", of("b"), { metadata: { name: "z", labels: { app: "z", tier: "back" } } });
});

test("a list at exactly a revision shows what was; not older waits; too new is told", async () => {
  const before = await revOf();
  await api.call("POST", of("a"), { metadata: { name: "later" } });
  const then = await api.call("GET", `${of("a")}?resourceVersion=${before}&resourceVersionMatch=Exact`);
  expect([names(then.get("items")), then.get("metadata.resourceVersion")]).toEqual([["a/x", "a/y", "a/z"], before]);
  const now = await api.call("GET", `${of("a")}?resourceVersion=${before}&resourceVersionMatch=NotOlderThan`);
  expect(names(now.get("items"))).toContain("a/later");
  await api.call("DELETE", `${of("a")}/later`);
  const future = await api.call("GET", `${of("a")}?resourceVersion=99999`);
  expect([future.status, future.get("details.causes.0.reason")]).toEqual([504, "ResourceVersionTooLarge"]);
  const ruleless = await api.call("GET", `${of("a")}?resourceVersionMatch=Exact`);
  expect(ruleless.status).toBe(422);
});

test("a continue token whose revision is gone says how to go on", async () => {
  const first = await api.call("GET", `${all}?limit=2`);
  const token = JSON.parse(Buffer.from(String(first.get("metadata.continue")), "base64url").toString()) as { rv: number; start: string };
  const old = Buffer.from(JSON.stringify({ ...token, rv: 1 })).toString("base64url");
  const again = await api.call("GET", `${all}?limit=2&continue=${old}`);
  // Nothing is compacted yet: revision 1 is still known, and had no ConfigMaps.
  expect([again.status, again.get("items")]).toEqual([200, []]);
  expect((await api.call("GET", `${all}?continue=nonsense`)).status).toBe(400);
});

test("a watch from a revision tells what came after, and goes on", async () => {
  const from = await revOf();
  await api.call("POST", of("a"), { metadata: { name: "w1" } });
  const events = api.watch(`${of("a")}?watch=1&resourceVersion=${from}`, 4);
  await api.call("POST", of("b"), { metadata: { name: "elsewhere" } });
  await api.call("PATCH", `${of("a")}/w1`, { data: { k: "v" } }, { type: "application/merge-patch+json" });
  await api.call("DELETE", `${of("a")}/w1`);
  await api.call("POST", of("a"), { metadata: { name: "w2" } });
  expect(shown(await events)).toEqual(["ADDED w1", "MODIFIED w1", "DELETED w1", "ADDED w2"]);
  const revs = (await events).map((e) => Number((e.object["metadata"] as { resourceVersion: string }).resourceVersion));
  expect([...revs].sort((a, b) => a - b)).toEqual(revs);
  await api.call("DELETE", `${of("a")}/w2`);
  await api.call("DELETE", `${of("b")}/elsewhere`);
});

test("a watch through a selector sees objects come and go with their labels", async () => {
  const from = await revOf();
  const events = api.watch(`${all}?watch=true&resourceVersion=${from}&labelSelector=seen`, 3);
  const patch = (labels: object) => api.call("PATCH", `${of("a")}/x`, { metadata: { labels } }, { type: "application/merge-patch+json" });
  await patch({ seen: "1" });
  await patch({ seen: "2" });
  await patch({ seen: null });
  expect(shown(await events)).toEqual(["ADDED x", "MODIFIED x", "DELETED x"]);
  expect((await events)[2]?.object["metadata"]).toMatchObject({ labels: { seen: "2" } });
});

test.each([
  { name: "no revision", query: "" },
  { name: "revision 0", query: "&resourceVersion=0" },
])("a watch with $name begins with what is there", async ({ query }) => {
  const events = await api.watch(`${of("b")}?watch=1${query}`, 3);
  expect(shown(events)).toEqual(["ADDED x", "ADDED y", "ADDED z"]);
});

test("WatchList: what is there, then the bookmark that says so, then changes", async () => {
  const query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const events = api.watch(`${of("b")}?${query}`, 5);
  await api.call("POST", of("b"), { metadata: { name: "zz" } });
  const seen = await events;
  const end = seen.findIndex((e) => e.type === "BOOKMARK");
  expect(seen[end]?.object["metadata"]).toMatchObject({ annotations: { "k8s.io/initial-events-end": "true" } });
  expect(seen[end]?.object["kind"]).toBe("ConfigMap");
  // The new one came before or after the bookmark, but once.
  expect(
    shown(seen)
      .filter((s) => s.startsWith("ADDED"))
      .sort(),
  ).toEqual(["ADDED x", "ADDED y", "ADDED z", "ADDED zz"]);
  const revs = seen.slice(0, end + 1).map((e) => Number((e.object["metadata"] as { resourceVersion: string }).resourceVersion));
  expect(Math.max(...revs)).toBe(revs.at(-1));
  await api.call("DELETE", `${of("b")}/zz`);
});

test.each([
  {
    name: "sendInitialEvents without a rule",
    query: "sendInitialEvents=true&allowWatchBookmarks=true",
    message: /sendInitialEvents requires setting resourceVersionMatch to NotOlderThan/,
  },
  {
    name: "sendInitialEvents without bookmarks",
    query: "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    message: /sendInitialEvents requires setting allowWatchBookmarks to true/,
  },
  {
    name: "a rule without sendInitialEvents",
    query: "resourceVersionMatch=NotOlderThan&resourceVersion=1",
    message: /resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided/,
  },
])("refused watch: $name", async ({ query, message }) => {
  const reply = await api.call("GET", `${all}?watch=1&${query}`);
  expect([reply.status, reply.get("reason")]).toEqual([422, "Invalid"]);
  expect(reply.get("message")).toMatch(message);
});

test("a watch ends at its time, with a bookmark to go on from", async () => {
  const from = await revOf();
  const events = await api.watch(`${all}?watch=1&resourceVersion=${from}&timeoutSeconds=1&allowWatchBookmarks=true`, 100);
  expect(shown(events)).toEqual(["BOOKMARK"]);
  expect(events[0]?.object["metadata"]).toMatchObject({ resourceVersion: from });
});

test("kubectl's watch gets tables, columns only once", async () => {
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const events = await api.watch(`${of("b")}?watch=1`, 2, { accept });
  const columns = events.map((e) => (e.object["columnDefinitions"] as unknown[]).length > 0);
  expect([events.map((e) => e.object["kind"]), columns]).toEqual([
    ["Table", "Table"],
    [true, false],
  ]);
});

test("a watched table tells ages of the moment of each event", async () => {
  let ahead = 0;
  const later = await makeTestServer({}, { clock: { ...systemClock, now: () => Date.now() + ahead } });
  await later.call("POST", of("default"), { metadata: { name: "aged" } });
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const watched = later.watch(`${of("default")}?watch=1&fieldSelector=metadata.name%3Daged`, 2, { accept });
  await later.call("GET", of("default"));
  ahead = 7_200_000;
  await later.call("PATCH", `${of("default")}/aged`, { data: { a: "b" } }, { type: "application/merge-patch+json" });
  const ages = (await watched).map((e) => (e.object["rows"] as { cells: unknown[] }[])[0]?.cells[2]);
  expect(ages[1]).toBe("120m");
  await later.close();
});

test("a large list is compressed for who takes it", async () => {
  await api.call("POST", of("b"), { metadata: { name: "large" }, data: { k: "x".repeat(200_000) } });
  const plain = await api.call("GET", of("b"));
  expect([plain.headers["content-encoding"], plain.text.length > 200_000]).toEqual([undefined, true]);
  await api.call("DELETE", `${of("b")}/large`);
});
