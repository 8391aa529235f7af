import { describe, expect, test } from "vitest";
import { ProxyPlan } from "../../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../../rules/plan/service-plan.ts";
import { causesOf, changedFields, joinCauses } from "../../../rules/sync/causes.ts";
import { effectsOf } from "../../../rules/sync/effects.ts";
import { type HistoryEntry, RuleHistory } from "../../../rules/sync/history.ts";
import type { Batch } from "../../../src/snapshot/cluster-snapshot.ts";
import { type Cursor, SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice, put, type SliceEndpoint } from "../../support/rules-objects.ts";

const entry = (at: number, more: Partial<HistoryEntry> = {}): Omit<HistoryEntry, "id"> => ({
  at,
  backend: "nftables",
  outcome: "applied",
  full: false,
  tries: 1,
  durationMs: 1,
  waitedMs: 0,
  elements: 1,
  staleFlows: 0,
  causes: [],
  moreCauses: 0,
  services: [],
  moreFrontends: 0,
  refused: [],
  ...more,
});
const effect = (service: string): HistoryEntry["services"][number] => ({
  service,
  added: 0,
  removed: 0,
  changed: 1,
  gained: [],
  lost: [],
  gainedCount: 0,
  lostCount: 0,
  settings: [],
});

describe("the ring", () => {
  test.each([
    { name: "fewer than it holds", count: 3, limits: { entries: 5, bytes: 1e6 }, ids: [3, 2, 1] },
    { name: "more than its number", count: 12, limits: { entries: 5, bytes: 1e6 }, ids: [12, 11, 10, 9, 8] },
    { name: "more than its memory", count: 12, limits: { entries: 500, bytes: 1000 }, ids: [12, 11, 10, 9] },
    { name: "one that is larger than all its memory", count: 2, limits: { entries: 5, bytes: 10 }, ids: [2] },
  ])("$name", ({ count, limits, ids }) => {
    const history = new RuleHistory(limits);
    for (let i = 1; i <= count; i++) history.add(entry(i));
    expect(history.list().map((e) => e.id)).toEqual(ids);
    expect(history.list().map((e) => e.at)).toEqual(ids);
    expect(history.size).toBe(ids.length);
  });

  test("memory is given back by what is dropped", () => {
    const history = new RuleHistory({ entries: 3, bytes: 1e6 });
    for (let i = 0; i < 3; i++) history.add(entry(i));
    const full = history.bytes;
    history.add(entry(3, { services: [effect("a/b"), effect("c/d")] }));
    expect(history.bytes).toBeGreaterThan(full);
    for (let i = 4; i < 7; i++) history.add(entry(i));
    expect(history.bytes).toBe(full);
  });

  const history = new RuleHistory();
  history.add(entry(1, { services: [effect("shop/web:http")] }));
  history.add(entry(2, { services: [effect("shop/web2"), effect("shop/web")] }));
  history.add(entry(3, { refused: [{ object: "Service shop/web", message: "no" }] }));
  history.add(
    entry(4, { causes: [{ kind: "Service", namespace: "shop", name: "web", resourceVersion: "9", change: "changed", fields: [] }] }),
  );
  history.add(entry(5));
  test.each([
    { name: "all", query: {}, ids: [5, 4, 3, 2, 1] },
    {
      name: "a Service, by what happened to it, what was refused and what was done to it",
      query: { service: "shop/web" },
      ids: [4, 3, 2, 1],
    },
    { name: "the latest", query: { limit: 2 }, ids: [5, 4] },
    { name: "the latest of a Service", query: { limit: 1, service: "shop/web" }, ids: [4] },
    { name: "none", query: { limit: 0 }, ids: [] },
    { name: "since", query: { since: 4 }, ids: [5, 4] },
  ])("asked for $name", ({ query, ids }) => {
    expect(history.list(query).map((e) => e.id)).toEqual(ids);
  });

  test("what is failing is shown as the latest, until something is in force", () => {
    const failing = new RuleHistory();
    failing.add(entry(1));
    failing.failing(entry(2, { outcome: "failing", tries: 1 }));
    failing.failing(entry(3, { outcome: "failing", tries: 2 }));
    expect(failing.list().map((e) => [e.id, e.outcome, e.tries])).toEqual([
      [2, "failing", 2],
      [1, "applied", 1],
    ]);
    failing.add(entry(4, { outcome: "retried", tries: 3 }));
    expect(failing.list().map((e) => [e.id, e.outcome])).toEqual([
      [2, "retried"],
      [1, "applied"],
    ]);
  });
});

const started = (): { store: SnapshotStore; plan: ProxyPlan; cursor: Cursor; take(): Batch } => {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  const plan = new ProxyPlan("n", defaultPlanOptions);
  const take = (): Batch => {
    const batch = cursor.take();
    if (batch === undefined) throw new Error("nothing changed");
    return batch;
  };
  fillStore(store, [
    makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]),
    makeService("web", { clusterIP: "10.96.0.1", type: "NodePort", ports: [{ name: "http", port: 80, nodePort: 30080 }] }),
    slice(["10.244.0.1", "10.244.0.2"]),
  ]);
  plan.apply(take());
  return { store, plan, cursor, take };
};
const slice = (endpoints: readonly (string | SliceEndpoint)[]): ReturnType<typeof makeSlice> =>
  makeSlice("web", endpoints, { ports: [{ name: "http", protocol: "TCP", port: 8080 }] });

describe("what happened to a Service", () => {
  const base = {
    service: "test/web:http",
    added: 0,
    removed: 0,
    changed: 2,
    gained: [],
    lost: [],
    gainedCount: 0,
    lostCount: 0,
    settings: [],
  };
  test.each([
    {
      name: "endpoints gained and lost",
      change: (s: SnapshotStore) => put(s, "EndpointSlice", slice(["10.244.0.2", "10.244.0.3", "10.244.0.4"])),
      want: {
        ...base,
        gained: ["10.244.0.3:8080", "10.244.0.4:8080"],
        lost: ["10.244.0.1:8080"],
        gainedCount: 2,
        lostCount: 1,
        fate: "balance",
      },
    },
    {
      name: "many endpoints: some by name, all by number",
      change: (s: SnapshotStore) => put(s, "EndpointSlice", slice(Array.from({ length: 30 }, (_, i) => `10.244.1.${i + 1}`))),
      want: { gainedCount: 30, lostCount: 2, lost: ["10.244.0.1:8080", "10.244.0.2:8080"], gained: { length: 4 } },
    },
    {
      name: "the last endpoint lost",
      change: (s: SnapshotStore) => put(s, "EndpointSlice", slice([])),
      want: { lostCount: 2, fate: "reject", settings: [{ setting: "verdict", before: "balance", after: "reject" }] },
    },
    {
      name: "affinity",
      change: (s: SnapshotStore) =>
        put(
          s,
          "Service",
          makeService("web", {
            clusterIP: "10.96.0.1",
            type: "NodePort",
            sessionAffinity: "ClientIP",
            ports: [{ name: "http", port: 80, nodePort: 30080 }],
          }),
        ),
      want: { changed: 2, gainedCount: 0, settings: [{ setting: "affinity", before: "none", after: "10800 s" }] },
    },
    {
      name: "gone",
      change: (s: SnapshotStore) => s.apply("Service", "test/web", undefined, "7"),
      want: { removed: 2, changed: 0, lostCount: 2, settings: [] },
    },
  ])("$name", ({ change, want }) => {
    const { store, plan, take } = started();
    change(store);
    const { services, moreFrontends } = effectsOf([plan.apply(take())]);
    expect(services).toHaveLength(1);
    expect(services[0]).toMatchObject(want);
    expect(moreFrontends).toBe(0);
  });

  test("changes that came one after the other are one: what came and went is not told", () => {
    const { store, plan, take } = started();
    const deltas = [
      ["10.244.0.1", "10.244.0.9"],
      ["10.244.0.1", "10.244.0.3"],
    ].map((endpoints) => {
      put(store, "EndpointSlice", slice(endpoints));
      return plan.apply(take());
    });
    expect(effectsOf(deltas).services).toMatchObject([{ gained: ["10.244.0.3:8080"], lost: ["10.244.0.2:8080"] }]);
  });

  test("of a full load some Services are told, the rest is counted", () => {
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    fillStore(store, [
      makeNode("n", ["192.0.2.1"], []),
      ...Array.from({ length: 200 }, (_, i) => makeService(`s${i}`, { clusterIP: `10.96.0.${i + 1}` })),
    ]);
    const batch = cursor.take();
    if (batch === undefined) throw new Error("nothing changed");
    const { services, moreFrontends } = effectsOf([new ProxyPlan("n", defaultPlanOptions).apply(batch)]);
    expect(services).toHaveLength(16);
    expect(moreFrontends).toBe(184);
  });
});

describe("causes", () => {
  test("each object once, with its latest version, and what became of it", () => {
    const { store, take } = started();
    put(store, "EndpointSlice", slice(["10.244.0.7"]), "11");
    put(store, "Service", makeService("other", { clusterIP: "10.96.0.2" }), "12");
    store.apply("Service", "test/web", undefined, "13");
    put(store, "EndpointSlice", slice([]), "14");
    store.apply("Secret", "test/key", { metadata: { namespace: "test", name: "key" } }, "15");
    expect(causesOf(take(), ["Service", "EndpointSlice"])).toEqual({
      told: [
        { kind: "Service", namespace: "test", name: "other", resourceVersion: "12", change: "added", fields: [] },
        { kind: "Service", namespace: "test", name: "web", resourceVersion: "13", change: "deleted", fields: [] },
        { kind: "EndpointSlice", namespace: "test", name: "web-4", resourceVersion: "14", change: "changed", fields: [] },
      ],
      more: 0,
    });
  });

  test("a burst names some and counts the rest; a later change of the same object takes the earlier one's place", () => {
    const { store, take } = started();
    for (let i = 0; i < 100; i++) put(store, "Service", makeService(`s${i}`, { clusterIP: `10.96.1.${i + 1}` }), String(i));
    const first = causesOf(take(), ["Service"]);
    expect([first.told.length, first.more]).toEqual([16, 84]);
    const last = first.told.at(-1)?.name ?? "";
    put(store, "Service", makeService(last, { clusterIP: "10.96.2.1" }), "500");
    const both = joinCauses(first, causesOf(take(), ["Service"]));
    expect([both.told.length, both.more]).toEqual([16, 84]);
    expect(both.told.at(-1)).toMatchObject({ name: last, resourceVersion: "500", change: "changed", fields: ["spec.clusterIP"] });
  });

  test.each([
    { name: "nothing", a: { spec: { ports: [{ port: 80 }] } }, b: { spec: { ports: [{ port: 80 }] } }, want: [] },
    { name: "a port", a: { spec: { ports: [{ port: 80 }] } }, b: { spec: { ports: [{ port: 81 }] } }, want: ["spec.ports"] },
    { name: "a field more", a: { spec: {} }, b: { spec: { externalIPs: ["192.0.2.9"] } }, want: ["spec.externalIPs"] },
    {
      name: "a field less, and a label",
      a: { metadata: { labels: { a: "1" } }, status: { x: 1 } },
      b: {},
      want: ["metadata.labels", "status.x"],
    },
    { name: "its version only", a: { metadata: { resourceVersion: "1" } }, b: { metadata: { resourceVersion: "2" } }, want: [] },
  ])("fields: $name", ({ a, b, want }) => {
    expect(changedFields(a, b)).toEqual(want);
  });
});
