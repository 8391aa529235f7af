import { getEventListeners } from "node:events";
import { afterEach, expect, test } from "vitest";
import { ApplyError } from "../../../rules/apply/errors.ts";
import type { Proxier } from "../../../rules/index.ts";
import { adoptAllocations } from "../../../rules/nftables/adopt.ts";
import { tableOf } from "../../../rules/nftables/ruleset.ts";
import type { SkeletonOptions } from "../../../rules/nftables/skeleton.ts";
import { elementId } from "../../../rules/nftables/statement.ts";
import { transactionSize } from "../../../rules/nftables/transaction.ts";
import type { AppliedInfo, NodeEvent, ProxierConfig } from "../../../rules/sync/config.ts";
import { ProxierMetrics } from "../../../rules/sync/metrics.ts";
import { NftablesTarget } from "../../../rules/sync/nftables-target.ts";
import { type ProxierWorld, runProxier } from "../../../rules/sync/proxier.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { ListeningSocket } from "../../../src/kernel/listener.ts";
import type { Problem } from "../../../src/snapshot/problem.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { MemoryApplier } from "../../support/memory-applier.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../../support/rules-objects.ts";

/** Time that passes only when told to. */
class SteppedClock implements Clock {
  #now = 0;
  readonly #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  now = (): number => this.#now;
  monotonic = (): number => this.#now;
  sleep = (ms: number): Promise<void> => new Promise((wake) => this.#sleepers.add({ at: this.#now + ms, wake }));
  step(ms: number): void {
    this.#now += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > this.#now) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }
}

const running: Proxier[] = [];
afterEach(async () => {
  for (const proxier of running.splice(0)) await proxier.close();
});

/** Lets promises and immediates run; nothing here waits for time. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

interface Started extends ProxierConfig, ProxierWorld {
  readonly skeleton: Partial<SkeletonOptions>;
}

function start(applier: MemoryApplier, store: SnapshotStore, { listeners, skeleton = {}, ...more }: Partial<Started> = {}) {
  const clock = new SteppedClock();
  const problems: Problem[] = [];
  const applied: AppliedInfo[] = [];
  const log: string[] = [];
  const events: NodeEvent[] = [];
  const target = new NftablesTarget({ families: [4], tableName: "fairway", skeleton }, applier);
  const proxier = runProxier(
    { store, nodeName: "n", backend: "nftables", auditIntervalMs: 0, ...more },
    {
      clock,
      log: (_, message) => log.push(message),
      onApplied: (info) => applied.push(info),
      onEvent: (event) => events.push(event),
      onProblems: ({ gained, lost }) => {
        problems.push(...gained);
        for (const p of lost)
          problems.splice(
            problems.findIndex((q) => q.message === p.message),
            1,
          );
      },
    },
    { target, metrics: new ProxierMetrics(), listeners },
  );
  running.push(proxier);
  return { clock, proxier, problems, applied, log, events, target };
}

const node = makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]);
function filled(count: number): SnapshotStore {
  const store = new SnapshotStore();
  fillStore(store, [
    node,
    ...Array.from({ length: count }, (_, i) => makeService(`s${i}`, { clusterIP: `10.96.0.${i + 1}` })),
    ...Array.from({ length: count }, (_, i) => makeSlice(`s${i}`, [`10.244.0.${i + 1}`])),
  ]);
  return store;
}
const has = (applier: MemoryApplier, id: string): boolean => applier.tables.get(4)?.has(id) ?? false;

test("a transaction that takes long is followed by as long a rest, in which changes gather", async () => {
  const applier = new MemoryApplier();
  const store = filled(2);
  const { clock, applied } = start(applier, store);
  await settle();
  expect(applied.length).toBe(1);
  const apply = applier.apply.bind(applier);
  // each takes 300 ms from here on
  applier.apply = (transaction) => {
    clock.step(300);
    return apply(transaction);
  };
  const change = (n: number, version: string): void => put(store, "EndpointSlice", makeSlice("s0", [`10.244.0.${n}`]), version);
  change(50, "2");
  await settle();
  expect(applied.length).toBe(2);
  change(51, "3");
  await settle();
  change(52, "4");
  await settle();
  expect(applied.length).toBe(2);
  clock.step(299);
  await settle();
  expect(applied.length).toBe(2);
  clock.step(1);
  await settle();
  expect(applied.length).toBe(3);
  expect(applied[2]?.causes.length).toBe(2);
});

test("nothing is applied before Services, slices and nodes are known", async () => {
  const applier = new MemoryApplier();
  const store = new SnapshotStore();
  const { proxier } = start(applier, store);
  store.replace("Service", [makeService("web", { clusterIP: "10.96.0.1" })]);
  store.replace("EndpointSlice", []);
  await settle();
  expect(applier.transactions).toEqual([]);
  expect(proxier.healthy()).toBe(false);
  store.replace("Node", [node]);
  await proxier.ready;
  expect(has(applier, "service-ips 10.96.0.1 tcp 80")).toBe(true);
  expect(proxier.healthy()).toBe(true);
});

test("a burst is one transaction; the next waits for the interval", async () => {
  const applier = new MemoryApplier();
  const store = filled(3);
  const { clock, proxier, applied } = start(applier, store, { minIntervalMs: 1000 });
  await proxier.ready;
  expect(applied.length).toBe(1);
  for (let i = 0; i < 3; i++) put(store, "EndpointSlice", makeSlice(`s${i}`, [`10.244.0.${i + 101}`]), "2");
  await settle();
  expect(applied.length).toBe(1);
  expect(proxier.metrics()).toContain("kubeproxy_sync_proxy_rules_endpoint_changes_pending 3\n");
  clock.step(1000);
  await settle();
  expect(applied.length).toBe(2);
  expect(proxier.metrics()).toContain("kubeproxy_sync_proxy_rules_endpoint_changes_pending 0\n");
  expect(applied[1]?.elements).toBe(6);
  expect(applied[1]?.causes.map((c) => c.key)).toEqual(["test/s0-4", "test/s1-4", "test/s2-4"]);
});

test("a transaction that fails is tried again, later each time; what came meanwhile goes with it", async () => {
  const applier = new MemoryApplier();
  const store = filled(2);
  const { clock, proxier, log } = start(applier, store);
  await proxier.ready;
  applier.failures.push(new ApplyError("UNAVAILABLE", "no memory"), new ApplyError("UNAVAILABLE", "no memory"));
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.0.201"]), "2");
  await settle();
  expect(log.filter((l) => l.includes("no memory")).length).toBe(1);
  put(store, "EndpointSlice", makeSlice("s1", ["10.244.0.202"]), "3");
  await settle();
  clock.step(250);
  await settle();
  clock.step(500);
  await settle();
  expect(applier.tables.get(4)?.get(`endpoints 10.96.0.1 tcp 80 ${0xa5000000}`)?.value).toEqual(["10.244.0.201", 8080]);
  expect(applier.tables.get(4)?.get(`endpoints 10.96.0.2 tcp 80 ${0xa5000000}`)?.value).toEqual(["10.244.0.202", 8080]);
  expect(proxier.metrics()).toContain('nftables_sync_failures_total{ip_family="IPv4"} 2');
});

test.each([1, 7, 40])("one refused Service of %i does not hold up the others, and is a problem until it changes", async (count) => {
  const applier = new MemoryApplier();
  const store = filled(count);
  const { proxier, problems } = start(applier, store);
  await proxier.ready;
  applier.refuses = (e) => e.value?.[0] === "10.244.9.9";
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.9.9"]), "2");
  for (let i = 1; i < count; i++) put(store, "EndpointSlice", makeSlice(`s${i}`, [`10.244.1.${i}`]), "2");
  await settle();
  for (let i = 1; i < count; i++) expect(has(applier, `service-ips 10.96.0.${i + 1} tcp 80`)).toBe(true);
  for (let i = 1; i < count; i++) {
    expect(applier.tables.get(4)?.get(`endpoints 10.96.0.${i + 1} tcp 80 ${0xa5000000}`)?.value).toEqual([`10.244.1.${i}`, 8080]);
  }
  // its old rules are gone too: they would send to an endpoint that left
  expect(has(applier, "service-ips 10.96.0.1 tcp 80")).toBe(false);
  expect(problems).toMatchObject([{ reason: "RuleRefused", object: { kind: "Service", namespace: "test", name: "s0" } }]);
  expect(proxier.problems().length).toBe(1);

  put(store, "EndpointSlice", makeSlice("s0", ["10.244.0.77"]), "3");
  await settle();
  expect(has(applier, "service-ips 10.96.0.1 tcp 80")).toBe(true);
  expect(proxier.problems()).toEqual([]);
  expect(problems).toEqual([]);
});

test("what is refused is asked for again, ever less often, without a word; once it is taken, nothing is told of it any more", async () => {
  const applier = new MemoryApplier();
  const store = filled(3);
  const { clock, proxier, problems, applied, log } = start(applier, store);
  await proxier.ready;
  let asked = 0;
  applier.refuses = (e) => {
    if (e.value?.[0] !== "10.244.9.9") return false;
    asked++;
    return true;
  };
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.9.9"]), "2");
  await settle();
  const [before, told] = [asked, proxier.history().length];
  expect(applied.length).toBe(2);
  expect(proxier.metrics()).toMatch(/^fairway_rules_refused 1$/m);
  for (const [ms, tries] of [
    [690, 0],
    [310, 1],
    [1390, 1],
    [610, 2],
  ] as const) {
    clock.step(ms);
    await settle();
    // with the others of the transaction, and by itself
    expect(asked - before).toBe(2 * tries);
  }
  // a quarter of an hour is some fifteen tries
  for (let i = 0; i < 90; i++) {
    clock.step(10_000);
    await settle();
  }
  expect(asked - before).toBeLessThan(70);
  expect(asked - before).toBeGreaterThan(30);
  expect(problems).toMatchObject([{ reason: "RuleRefused", object: { name: "s0" } }]);
  expect([applied.length, proxier.history().length, log]).toEqual([2, told, []]);
  expect(has(applier, "service-ips 10.96.0.2 tcp 80")).toBe(true);

  // somebody loads what the kernel lacked
  applier.refuses = () => false;
  clock.step(60_000);
  await settle();
  expect(has(applier, "service-ips 10.96.0.1 tcp 80")).toBe(true);
  expect([proxier.problems(), problems]).toEqual([[], []]);
  expect(proxier.metrics()).toMatch(/^fairway_rules_refused 0$/m);
  expect(log).toEqual(["Service test/s0: what was refused before is in force now"]);
  expect(proxier.history({ limit: 1 })).toMatchObject([{ outcome: "applied", causes: [], services: [{ service: "test/s0", added: 1 }] }]);
  const transactions = applier.transactions.length;
  clock.step(600_000);
  await settle();
  expect(applier.transactions.length).toBe(transactions);
});

test("what was refused and is changed before it is asked for again is a change like any other", async () => {
  const applier = new MemoryApplier();
  const store = filled(2);
  const { clock, proxier, problems } = start(applier, store);
  await proxier.ready;
  applier.refuses = (e) => e.value?.[0] === "10.244.9.9";
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.9.9"]), "2");
  await settle();
  // the try that fails for another reason goes on with what has come since
  applier.failures.push(new ApplyError("UNAVAILABLE", "no memory"));
  clock.step(1000);
  await settle();
  expect(problems.length).toBe(1);
  store.apply("Service", "test/s0", undefined, "3");
  clock.step(1000);
  await settle();
  expect(problems).toEqual([]);
  expect([has(applier, "service-ips 10.96.0.1 tcp 80"), has(applier, "service-ips 10.96.0.2 tcp 80")]).toEqual([false, true]);
});

test("an audit whose repair the kernel refuses in part does the rest", async () => {
  const applier = new MemoryApplier();
  const { proxier, problems } = start(applier, filled(3));
  await proxier.ready;
  const table = applier.tables.get(4);
  for (const id of [...(table?.keys() ?? [])]) if (/^(endpoints|service-ips) /.test(id)) table?.delete(id);
  applier.refuses = (e) => e.value?.[0] === "10.244.0.1";
  applier.changedByOthers("fairway");
  await settle();
  const there = [1, 2, 3].map((n) => has(applier, `service-ips 10.96.0.${n} tcp 80`));
  expect(there).toEqual([false, true, true]);
  expect(problems.map((p) => p.object.name)).toEqual(["s0"]);
});

test.each([
  { what: "a Service that was there", refused: [3] },
  { what: "several, some of them new", refused: [2, 5, 9, 10] },
])("a table that is to be made anew, of which the kernel refuses $what, is in force all the time with all others", async ({ refused }) => {
  const applier = new MemoryApplier();
  await start(applier, filled(8)).proxier.ready;
  const others = [1, 2, 3, 4, 5, 6, 7, 8].filter((n) => !refused.includes(n));
  const seen: (readonly boolean[])[] = [];
  const apply = applier.apply.bind(applier);
  applier.apply = async (transaction) => {
    try {
      await apply(transaction);
    } finally {
      seen.push(others.map((n) => has(applier, `service-ips 10.96.0.${n} tcp 80`)));
    }
  };
  applier.refuses = (e) => refused.some((n) => e.value?.[0] === `10.244.0.${n}`);
  const { proxier, problems } = start(applier, filled(10), { skeleton: { masqueradeAll: true } });
  await proxier.ready;
  expect(seen.length).toBeGreaterThan(3);
  expect(seen).toEqual(seen.map(() => others.map(() => true)));
  expect(problems.map((p) => p.object.name).sort()).toEqual(refused.map((n) => `s${n - 1}`).sort());
  const there = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].filter((n) => has(applier, `service-ips 10.96.0.${n} tcp 80`));
  expect(there).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].filter((n) => !refused.includes(n)));
  expect(applier.trials).toEqual(new Map());
});

test("a table that is to be made anew and is refused for no Service's sake stays as it is, and is tried again", async () => {
  const applier = new MemoryApplier();
  await start(applier, filled(4)).proxier.ready;
  const before = new Map(applier.tables.get(4));
  const apply = applier.apply.bind(applier);
  let refusals = 0;
  applier.apply = (transaction) => {
    if (refusals === 2 || transaction.some(({ table }) => table !== "fairway")) return apply(transaction);
    refusals++;
    return Promise.reject(new ApplyError("REFUSED", "Numerical result out of range"));
  };
  const { clock, proxier, problems, log } = start(applier, filled(5), { skeleton: { masqueradeAll: true } });
  for (const tries of [1, 2]) {
    await settle();
    expect([refusals, applier.tables.get(4)]).toEqual([tries, before]);
    clock.step(1000);
  }
  await proxier.ready;
  expect(log).toEqual(
    [1, 2].map(() => expect.stringMatching(/^Service rules were not applied: Numerical result out of range; next try in/)),
  );
  expect(problems).toEqual([]);
  expect([1, 5].map((n) => has(applier, `service-ips 10.96.0.${n} tcp 80`))).toEqual([true, true]);
});

test("tables of a trial that a process left in the middle are gone at the next start", async () => {
  const applier = new MemoryApplier();
  applier.trials.set(4, new Map());
  await start(applier, filled(1)).proxier.ready;
  expect(applier.trials).toEqual(new Map());
});

test("a kernel that does not answer at first is asked again; one that cannot be programmed is fatal", async () => {
  const applier = new MemoryApplier();
  const probe = applier.probe.bind(applier);
  applier.probe = () => Promise.reject(new ApplyError("UNAVAILABLE", "busy"));
  const { clock, proxier } = start(applier, filled(1));
  await settle();
  expect(proxier.healthy()).toBe(false);
  applier.probe = probe;
  clock.step(250);
  await proxier.ready;

  const other = new MemoryApplier();
  other.probe = () => Promise.reject(new ApplyError("UNUSABLE", "no root"));
  await expect(start(other, filled(1)).proxier.ready).rejects.toMatchObject({ code: "UNUSABLE" });
});

test("tables that are not as thought are read again and set right", async () => {
  const applier = new MemoryApplier();
  const store = filled(2);
  const { proxier, target } = start(applier, store);
  await proxier.ready;
  applier.tables.get(4)?.delete(`endpoints 10.96.0.1 tcp 80 ${0xa5000000}`);
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.0.201"]), "2");
  await settle();
  const wanted = target.rulesets().flatMap((r) => tableOf(r).elements.map(elementId));
  expect([...(applier.tables.get(4)?.keys() ?? [])].filter((id) => !id.startsWith("version")).sort()).toEqual(wanted.sort());
});

test("waiting for the next change leaves nothing behind", async () => {
  const applier = new MemoryApplier();
  const store = filled(1);
  let stopping: AbortSignal | undefined;
  const { applied, target } = start(applier, store);
  await settle();
  const apply = target.apply.bind(target);
  target.apply = (signal) => {
    stopping = signal;
    return apply(signal);
  };
  for (let i = 2; i < 40; i++) {
    put(store, "EndpointSlice", makeSlice("s0", [`10.244.0.${i}`]), String(i));
    await settle();
  }
  expect(applied.length).toBe(39);
  expect(stopping === undefined ? undefined : getEventListeners(stopping, "abort").length).toBe(0);
});

test("what others take away at a start, when it has been read and nobody hears of it yet, is repaired at once", async () => {
  const applier = new MemoryApplier();
  const first = start(applier, filled(3));
  await settle();
  await first.proxier.close();
  const whole = new Set(applier.tables.get(4)?.keys());
  applier.foreign = 7;
  const read = applier.read.bind(applier);
  applier.read = async (family) => {
    applier.read = read;
    const found = await read(family);
    applier.tables.clear();
    applier.foreign = 8;
    return found;
  };
  start(applier, filled(3));
  await settle();
  expect(new Set(applier.tables.get(4)?.keys())).toEqual(whole);
});

test("foreign changes are repaired when they are told of, and by the periodic audit", async () => {
  const applier = new MemoryApplier();
  const store = filled(2);
  const { clock, proxier, events } = start(applier, store, { auditIntervalMs: 60_000 });
  await proxier.ready;
  applier.tables.get(4)?.delete("service-ips 10.96.0.1 tcp 80");
  applier.changedByOthers("fairway");
  await settle();
  expect(has(applier, "service-ips 10.96.0.1 tcp 80")).toBe(true);
  applier.tables.clear();
  await settle();
  clock.step(60_000);
  await settle();
  expect(has(applier, "service-ips 10.96.0.2 tcp 80")).toBe(true);
  expect(proxier.metrics()).toContain("fairway_rules_repairs_total 2");
  expect(events.map((e) => `${e.type} ${e.reason} ${e.message.split(" (")[0] ?? ""}`)).toEqual(
    Array<string>(2).fill("Warning RulesRepaired somebody else changed the Service rules; they are repaired"),
  );
});

test("a restart over the same tables changes nothing; slots and ids are gone on with", async () => {
  const applier = new MemoryApplier();
  const store = new SnapshotStore();
  const sticky = { sessionAffinity: "ClientIP", clusterIP: "10.96.0.1" } as const;
  fillStore(store, [node, makeService("sticky", sticky), makeSlice("sticky", ["10.244.0.1", "10.244.0.2", "10.244.0.3"])]);
  const first = start(applier, store);
  await first.proxier.ready;
  put(store, "EndpointSlice", makeSlice("sticky", ["10.244.0.2", "10.244.0.3"]), "2");
  await settle();
  await first.proxier.close();
  const before = new Map(applier.tables.get(4));
  const count = applier.transactions.length;
  const second = start(applier, store);
  await second.proxier.ready;
  expect(applier.transactions.slice(count).map(transactionSize)).toEqual([]);
  expect(applier.tables.get(4)).toEqual(before);
  const slots = adoptAllocations(4, [...before.values()]).get("10.96.0.1:80/tcp")?.slots;
  expect(slots?.map((s) => s?.ip)).toEqual([undefined, "10.244.0.2", "10.244.0.3"]);
});

test("the first Service with the usual affinity costs elements only; another time limit brings chains of its own", async () => {
  const applier = new MemoryApplier();
  const store = filled(2);
  const { proxier } = start(applier, store);
  await proxier.ready;
  const skeletons = async (service: ReturnType<typeof makeService>, resourceVersion: string) => {
    const count = applier.transactions.length;
    put(store, "Service", service, resourceVersion);
    await settle();
    return applier.transactions.slice(count).flatMap((t) => t.flatMap(({ skeleton }) => skeleton?.kind ?? []));
  };
  const sticky = { sessionAffinity: "ClientIP", clusterIP: "10.96.0.1" } as const;
  expect(await skeletons(makeService("s0", sticky), "31")).toEqual([]);
  const brief = { ...sticky, clusterIP: "10.96.0.2", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } };
  expect(await skeletons(makeService("s1", brief), "32")).toEqual(["extend"]);
});

test("history tells each transaction with its causes, what it did, how often it was tried, what was refused and what others had changed", async () => {
  const applier = new MemoryApplier();
  const store = filled(2);
  const { clock, proxier } = start(applier, store, { auditIntervalMs: 60_000 });
  await proxier.ready;
  expect(proxier.history()).toMatchObject([{ id: 1, outcome: "applied", full: true, tries: 1, backend: "nftables", moreCauses: 5 }]);

  put(store, "EndpointSlice", makeSlice("s0", ["10.244.0.201"]), "21");
  await settle();
  expect(proxier.history({ limit: 1 })).toMatchObject([
    {
      outcome: "applied",
      full: false,
      elements: 2,
      causes: [{ kind: "EndpointSlice", namespace: "test", name: "s0-4", resourceVersion: "21", change: "changed" }],
      services: [{ service: "test/s0", gained: ["10.244.0.201:8080"], lost: ["10.244.0.1:8080"], fate: "balance" }],
    },
  ]);

  applier.failures.push(new ApplyError("UNAVAILABLE", "no memory"));
  put(store, "EndpointSlice", makeSlice("s1", ["10.244.0.202"]), "22");
  await settle();
  expect(proxier.history({ limit: 1 })).toMatchObject([{ outcome: "failing", error: "no memory", services: [{ service: "test/s1" }] }]);
  clock.step(250);
  await settle();
  expect(proxier.history({ limit: 1 })).toMatchObject([
    { outcome: "retried", tries: 2, error: "no memory", causes: [{ name: "s1-4" }], services: [{ service: "test/s1", gainedCount: 1 }] },
  ]);

  applier.refuses = (e) => e.value?.[0] === "10.244.9.9";
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.9.9"]), "23");
  await settle();
  expect(proxier.history({ service: "test/s0", limit: 1 })).toMatchObject([
    { outcome: "refused", refused: [{ object: "Service test/s0" }] },
  ]);

  applier.tables.get(4)?.delete("service-ips 10.96.0.2 tcp 80");
  applier.changedByOthers("fairway");
  await settle();
  const [last, ...rest] = proxier.history();
  expect(last).toMatchObject({ outcome: "repaired", elements: 1, causes: [], services: [] });
  expect(rest.map((e) => e.outcome)).toEqual(["refused", "retried", "applied", "applied"]);

  // what the backend does in another way than asked is in force nevertheless
  applier.refuses = () => false;
  const annotations = { "fairway.dev/balance": "least-connections" };
  const metadata = { namespace: "test", name: "s1", annotations };
  put(store, "Service", makeService("s1", { clusterIP: "10.96.0.2" }, { metadata }), "24");
  put(store, "EndpointSlice", makeSlice("s1", ["10.244.0.203"]), "24");
  await settle();
  expect(proxier.problems().map((p) => p.reason)).toContain("BalanceUnsupported");
  expect(proxier.history({ limit: 1 })).toMatchObject([{ outcome: "applied", refused: [] }]);
  expect(proxier.metrics()).toMatch(/^fairway_rules_refused 1$/m);
});

test("health: a change that waits for twice the sync period ends liveness; a Node that leaves, eligibility only", async () => {
  const applier = new MemoryApplier();
  const store = filled(1);
  const { clock, proxier } = start(applier, store, { patienceMs: 60_000 });
  await proxier.ready;
  expect(proxier.health()).toEqual({ live: true, ready: true, nodeEligible: true, lastUpdated: 0 });
  put(store, "Node", { ...node, spec: { ...node.spec, taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }] } }, "2");
  await settle();
  expect(proxier.health()).toMatchObject({ live: true, nodeEligible: false });
  expect(proxier.healthy()).toBe(true);
  put(store, "Node", node, "3");
  await settle();
  expect(proxier.health()).toMatchObject({ live: true, nodeEligible: true });
  const apply = applier.apply.bind(applier);
  applier.apply = () => Promise.reject(new ApplyError("UNAVAILABLE", "busy"));
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.0.77"]), "4");
  await settle();
  clock.step(59_999);
  await settle();
  expect(proxier.health()).toMatchObject({ live: true, nodeEligible: true });
  clock.step(1);
  expect(proxier.health()).toMatchObject({ live: false, nodeEligible: true });
  expect(proxier.healthy()).toBe(false);
  applier.apply = apply;
  clock.step(60_000);
  await settle();
  expect(proxier.health()).toMatchObject({ live: true, lastUpdated: 120_000 });
});

test("a node port that a process has is a problem of its Service, and counted, as is one that another Service has; both are told once", async () => {
  const store = filled(1);
  const port = (nodePort: number) => ({ type: "NodePort", ports: [{ port: 80, protocol: "TCP", nodePort }] });
  put(store, "Service", makeService("taken", { clusterIP: "10.96.0.50", ...port(30080) }), "1");
  let sockets: readonly ListeningSocket[] = [{ type: "tcp", ip: "0.0.0.0", port: 30080 }];
  const listeners = { read: () => sockets, describe: () => "process 7 (nginx)" };
  const { problems, proxier, clock } = start(new MemoryApplier(), store, { listeners, auditIntervalMs: 1000 });
  await proxier.ready;
  const reasons = (): readonly string[] => problems.map((p) => `${p.object.name} ${p.reason}`);
  expect(reasons()).toEqual(["taken NodePortOccupied"]);
  put(store, "Service", makeService("younger", { clusterIP: "10.96.0.51", ...port(30080) }), "2");
  await settle();
  expect([...reasons()].sort()).toEqual(["taken NodePortOccupied", "younger PortConflict"]);
  expect(problems.find((p) => p.reason === "PortConflict")?.message).toContain("Service test/taken");
  expect(proxier.metrics()).toContain('\nfairway_rules_problems{reason="PortConflict"} 1\n');
  expect(proxier.metrics()).toContain('\nfairway_rules_problems{reason="NodePortOccupied"} 1\n');
  sockets = [];
  clock.step(1000);
  await settle();
  expect(reasons()).toEqual(["younger PortConflict"]);
  expect(proxier.problems().map((p) => p.reason)).toEqual(["PortConflict"]);
});
