import { afterEach, expect, test } from "vitest";
import { ApplyError } from "../../../rules/apply/errors.ts";
import { createIptablesApplier } from "../../../rules/apply/iptables-applier.ts";
import { KernelIpvsApplier } from "../../../rules/apply/kernel-ipvs-applier.ts";
import { compileOffline, type Proxier, type RuleOptions } from "../../../rules/index.ts";
import { itemId } from "../../../rules/ipvs/values.ts";
import { type IpvsDoors, IpvsTarget } from "../../../rules/sync/ipvs-target.ts";
import { ProxierMetrics } from "../../../rules/sync/metrics.ts";
import { runProxier } from "../../../rules/sync/proxier.ts";
import { ipvsProgramOptionsOf } from "../../../rules/sync/surroundings.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { systemClock } from "../../../src/base/clock.ts";
import type { RunIptables } from "../../../src/kernel/iptables-command.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { MemoryIptables } from "../../support/memory-iptables.ts";
import { MemoryIpvsApplier } from "../../support/memory-ipvs-applier.ts";
import { Crash, MemoryIpvsKernel } from "../../support/memory-ipvs-kernel.ts";
import { seededRandom } from "../../support/random.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../../support/rules-objects.ts";

const running: Proxier[] = [];
afterEach(async () => {
  for (const proxier of running.splice(0)) await proxier.close();
});

class World {
  readonly rules = new MemoryIptables();
  readonly otherRules = new MemoryIptables();
  readonly servers = new MemoryIpvsApplier(createIptablesApplier("nft", this.rules.run));
  machineIps: readonly string[] = ["192.0.2.1"];

  /** Starts the backend as a process does; `applied` gets the size of each transaction. */
  begin(store: SnapshotStore, more: Partial<RuleOptions> & { readonly auditIntervalMs?: number } = {}, doors?: IpvsDoors) {
    const applied: number[] = [];
    const config = { auditIntervalMs: 0, ...more, store, nodeName: "n", backend: "ipvs", families: [4] } as const;
    const proxier = runProxier(
      config,
      { clock: systemClock, log: () => undefined, onApplied: (info) => applied.push(info.elements) },
      {
        target: new IpvsTarget(
          { nodeName: "n", options: ipvsProgramOptionsOf(config), canaryIntervalMs: 20 },
          {
            open: () =>
              Promise.resolve(
                doors ?? {
                  servers: this.servers,
                  rules: createIptablesApplier("nft", this.rules.run),
                  other: createIptablesApplier("legacy", this.otherRules.run),
                },
              ),
            machineIps: () => this.machineIps,
          },
        ),
        metrics: new ProxierMetrics(),
      },
    );
    running.push(proxier);
    return { proxier, applied };
  }

  async start(store: SnapshotStore, more: Parameters<World["begin"]>[1] = {}) {
    const begun = this.begin(store, more);
    await begun.proxier.ready;
    return begun;
  }

  has(id: string): boolean {
    return this.servers.items.has(id);
  }

  table(name: string): Promise<string> {
    const saved = this.rules.run("iptables-nft-save", [], "", AbortSignal.timeout(5000));
    return saved.then((r) => r.stdout.split("COMMIT\n").find((text) => text.includes(`*${name}\n`)) ?? "");
  }
}

function filled(count: number): SnapshotStore {
  const store = new SnapshotStore();
  fillStore(store, [
    makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]),
    ...Array.from({ length: count }, (_, i) => makeService(`s${i}`, { clusterIP: `10.96.0.${i + 1}` })),
    ...Array.from({ length: count }, (_, i) => makeSlice(`s${i}`, [`10.244.0.${i + 1}`])),
  ]);
  return store;
}

test("one endpoint more is one real server more, whatever else there is; the rules stay", async () => {
  const world = new World();
  const store = filled(50);
  const { applied } = await world.start(store);
  const rules = world.rules.runs.length;
  put(store, "EndpointSlice", makeSlice("s7", ["10.244.0.8", "10.244.9.9"]), "2");
  await expect.poll(() => applied.length).toBe(2);
  expect(applied[1]).toBe(1);
  expect(world.servers.transactions.at(-1)).toEqual({
    createSets: [],
    destroySets: [],
    groups: [
      {
        owner: "10.96.0.8:80/tcp",
        deletes: [],
        changes: [],
        adds: [
          {
            kind: "real",
            match: { kind: "address", protocol: "tcp", ip: "10.96.0.8", port: 80 },
            real: { ip: "10.244.9.9", port: 8080, weight: 1 },
          },
        ],
      },
    ],
  });
  expect(world.rules.runs.slice(rules).filter((r) => r.program.endsWith("-restore"))).toEqual([]);
});

test("a process that follows has nothing to do; what nobody wants any more is taken away", async () => {
  const world = new World();
  const store = filled(20);
  await (await world.start(store)).proxier.close();
  const items = world.servers.items;
  const transactions = world.servers.transactions.length;
  const second = await world.start(store);
  expect(second.applied).toEqual([]);
  // schedulers are tried at every start
  const since = world.servers.transactions.slice(transactions).flatMap((t) => t.groups.map((g) => g.owner));
  expect(new Set(since)).toEqual(new Set(["trial"]));
  expect(world.servers.items).toEqual(items);
  await second.proxier.close();
  await world.start(filled(19));
  expect([...items.keys()].filter((id) => !world.has(id))).toEqual([...items.keys()].filter((id) => /10\.(96|244)\.0\.20\b/.test(id)));
});

test("Services whose servers are refused are left out and named; all others are in force", async () => {
  for (const refused of [[5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]) {
    const world = new World();
    const ips = new Set(refused.map((n) => `10.96.0.${n}`));
    world.servers.refuses = (item) => item.kind === "address" && ips.has(item.ip);
    const { proxier } = await world.start(filled(20));
    expect(
      proxier
        .problems()
        .map((p) => p.object.name)
        .sort(),
    ).toEqual(refused.map((n) => `s${n - 1}`).sort());
    for (let n = 1; n <= 20; n++) {
      expect(world.has(`address 10.96.0.${n}`)).toBe(!refused.includes(n));
      expect(world.has(`service 10.96.0.${n}:80/tcp`)).toBe(!refused.includes(n));
      expect(world.has(`entry FAIRWAY-CLUSTER 10.96.0.${n},tcp:80`)).toBe(!refused.includes(n));
    }
  }
});

test("many that are refused at a restart, changed meanwhile, take nothing from the others, which are changed as they should be", async () => {
  const world = new World();
  await (await world.start(filled(30))).proxier.close();
  const transactions = world.servers.transactions.length;
  const store = filled(30);
  for (let n = 0; n < 30; n++) put(store, "EndpointSlice", makeSlice(`s${n}`, [`10.244.0.${n + 1}`, `10.244.1.${n + 1}`]), "2");
  world.servers.refuses = (item) => item.kind === "real" && /^10\.244\.1\.1\d$/.test(item.real.ip);
  const { proxier } = await world.start(store);
  const refused = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
  expect(new Set(proxier.problems().map((p) => p.object.name))).toEqual(new Set(refused.map((n) => `s${n - 1}`)));
  const deleted = world.servers.transactions.slice(transactions).flatMap((t) => t.groups.flatMap((g) => g.deletes.map(itemId)));
  const left = new RegExp(`10\\.96\\.0\\.(${refused.join("|")})\\b|trial|service fwmark`);
  expect(deleted.filter((id) => !left.test(id))).toEqual([]);
  for (let n = 1; n <= 30; n++) {
    expect(world.has(`real 10.96.0.${n}:80/tcp 10.244.1.${n} 8080`)).toBe(!refused.includes(n));
    expect(world.has(`service 10.96.0.${n}:80/tcp`)).toBe(!refused.includes(n));
  }
});

test("a refusal at a restart that is no single Service's doing leaves all that was found, and is tried again", async () => {
  const world = new World();
  await (await world.start(filled(10))).proxier.close();
  const found = world.servers.items;
  const store = filled(14);
  put(store, "EndpointSlice", makeSlice("s3", ["10.244.0.99"]), "2");
  const { apply } = world.servers;
  let refusals = 0;
  const seen = new Set<unknown>();
  world.servers.apply = (transaction, signal) => {
    seen.add(world.servers.items);
    if (refusals === 2 || transaction.groups.some((g) => g.owner === "trial")) return apply.call(world.servers, transaction, signal);
    refusals++;
    return Promise.reject(new ApplyError("REFUSED", "no room for any of it"));
  };
  const { proxier } = world.begin(store);
  await proxier.ready;
  expect(refusals).toBe(2);
  // what was there when each was tried
  expect([...seen].at(-1)).toEqual(found);
  expect(proxier.problems()).toEqual([]);
  expect([4, 14].map((n) => world.has(`service 10.96.0.${n}:80/tcp`))).toEqual([true, true]);
});

test("many that are refused at a restart leave alone what stands", async () => {
  const world = new World();
  await (await world.start(filled(8))).proxier.close();
  const items = world.servers.items;
  const transactions = world.servers.transactions.length;
  world.servers.refuses = (item) => item.kind === "address" && Number(item.ip.split(".")[3]) > 10;
  const { proxier } = await world.start(filled(30));
  expect(proxier.problems().length).toBe(20);
  expect([9, 10, 11].map((n) => world.has(`service 10.96.0.${n}:80/tcp`))).toEqual([true, true, false]);
  const since = world.servers.transactions.slice(transactions).flatMap((t) => t.groups.flatMap((g) => g.deletes.map(itemId)));
  expect(since.filter((id) => items.has(id))).toEqual([]);
});

test("a refused change of one Service does not hold up another's, and the next change is tried", async () => {
  const world = new World();
  const store = filled(8);
  const { proxier, applied } = await world.start(store);
  world.servers.refuses = (item) => item.kind === "real" && item.real.ip === "192.0.2.66";
  put(store, "EndpointSlice", makeSlice("s2", ["192.0.2.66"]), "2");
  put(store, "EndpointSlice", makeSlice("s3", ["10.244.0.77"]), "2");
  await expect.poll(() => applied.length).toBe(2);
  expect(proxier.problems().map((p) => [p.object.name, p.reason])).toEqual([["s2", "RuleRefused"]]);
  expect([world.has("service 10.96.0.3:80/tcp"), world.has("real 10.96.0.4:80/tcp 10.244.0.77 8080")]).toEqual([false, true]);
  put(store, "EndpointSlice", makeSlice("s2", ["10.244.0.78"]), "3");
  await expect.poll(() => applied.length).toBe(3);
  expect(proxier.problems()).toEqual([]);
  expect(world.has("real 10.96.0.3:80/tcp 10.244.0.78 8080")).toBe(true);
});

test("after a failure what is there is read again, and the rest applied", async () => {
  const world = new World();
  const store = filled(4);
  const { applied } = await world.start(store);
  world.servers.items = new Map([...world.servers.items].filter(([id]) => !id.includes("10.96.0.2")));
  world.servers.failures.push(new ApplyError("DIVERGED", "not as thought"));
  put(store, "EndpointSlice", makeSlice("s2", ["10.244.0.33"]), "2");
  await expect.poll(() => applied.length).toBe(2);
  expect([world.has("service 10.96.0.2:80/tcp"), world.has("real 10.96.0.3:80/tcp 10.244.0.33 8080")]).toEqual([true, true]);
});

test("flushed rules are noticed by their canaries and come back; servers that went with them too", async () => {
  const world = new World();
  const { proxier } = await world.start(filled(3));
  const nat = await world.table("nat");
  expect(nat).toContain("FAIRWAY-OFF-CLUSTER");
  const items = world.servers.items;
  world.servers.items = new Map([...items].filter(([id]) => !id.includes("10.96.0.1")));
  world.rules.flush("4", "nat");
  await expect.poll(() => world.table("nat")).toBe(nat);
  await expect.poll(() => world.servers.items.size).toBe(items.size);
  expect(proxier.healthy()).toBe(true);
});

test.each([1, 12])("%i that are refused are asked for again until they are taken", async (count) => {
  const world = new World();
  const refused = (n: number): boolean => n <= count;
  world.servers.refuses = (item) => item.kind === "address" && refused(Number(item.ip.split(".")[3]));
  const { proxier, applied } = await world.start(filled(20));
  expect(proxier.problems().length).toBe(count);
  world.servers.refuses = () => false;
  await expect.poll(() => proxier.problems(), { timeout: 5000 }).toEqual([]);
  for (let n = 1; n <= 20; n++) expect(world.has(`address 10.96.0.${n}`)).toBe(true);
  expect(applied.length).toBe(2);
});

test("a repair that is refused leaves out what is, repairs the rest, and asks for it again", async () => {
  const world = new World();
  const { proxier } = await world.start(filled(6), { auditIntervalMs: 30 });
  const items = world.servers.items;
  world.servers.refuses = (item) => item.kind === "address" && item.ip === "10.96.0.2";
  world.servers.items = new Map([...items].filter(([id]) => !/10\.96\.0\.[23]\b/.test(id)));
  await expect.poll(() => proxier.problems().map((p) => p.object.name), { timeout: 5000 }).toEqual(["s1"]);
  expect([2, 3].map((n) => world.has(`address 10.96.0.${n}`))).toEqual([false, true]);
  world.servers.refuses = () => false;
  await expect.poll(() => proxier.problems(), { timeout: 5000 }).toEqual([]);
  expect(world.servers.items.size).toBe(items.size);
});

test("a repair that fails in the middle is tried again", async () => {
  const world = new World();
  const { proxier } = await world.start(filled(3), { auditIntervalMs: 30 });
  const items = world.servers.items;
  world.servers.failures.push(new ApplyError("DIVERGED", "not as thought"), new ApplyError("UNAVAILABLE", "not now"));
  world.servers.items = new Map([...items].filter(([id]) => !id.includes("10.96.0.1")));
  await expect.poll(() => world.servers.items.size, { timeout: 5000 }).toBe(items.size);
  expect(world.servers.failures).toEqual([]);
  expect(proxier.metrics()).toMatch(/^fairway_rules_repairs_total [1-9]/m);
});

test("a scheduler that the kernel does not have ends the start, with what to load", async () => {
  const world = new World();
  const { proxier } = world.begin(filled(1), { ipvs: { scheduler: "none-such" } });
  await expect(proxier.ready).rejects.toThrow(/no scheduler "none-such".*ip_vs_none-such.*ipvs\.scheduler/);
});

test("a policy whose scheduler the kernel does not have is told, and the usual one is used; hashing has a second best", async () => {
  const world = new World();
  world.servers.refuses = (item) => item.kind === "service" && ["lc", "mh", "wrr"].includes(item.service.scheduler);
  const store = filled(1);
  for (const [n, [name, annotation, value]] of (
    [
      ["least", "balance", "least-connections"],
      ["hash", "balance", "source-hash"],
      ["heavy", "weights", "10.244.0.50=3"],
    ] as const
  ).entries()) {
    const metadata = { namespace: "test", name, annotations: { [`fairway.dev/${annotation}`]: value } };
    put(store, "Service", makeService(name, { clusterIP: `10.96.1.${n}`, externalIPs: [`198.51.100.${n + 1}`] }, { metadata }), "1");
    put(store, "EndpointSlice", makeSlice(name, ["10.244.0.50", "10.244.0.51"]), "1");
  }
  const { proxier } = await world.start(store);
  const schedulers = [0, 1, 2].map((n) => {
    const item = world.servers.items.get(`service 10.96.1.${n}:80/tcp`);
    return item?.kind === "service" ? item.service.scheduler : undefined;
  });
  expect(schedulers).toEqual(["rr", "sh", "rr"]);
  expect(proxier.problems().map((p) => [p.object.name, p.reason])).toEqual([["least", "BalanceUnsupported"]]);
});

test("node ports answer on addresses that links get later", async () => {
  const world = new World();
  const store = filled(1);
  put(store, "Service", makeService("web", { type: "NodePort", clusterIP: "10.96.0.99", ports: [{ port: 80, nodePort: 30080 }] }), "1");
  put(store, "EndpointSlice", makeSlice("web", ["10.244.0.9"]), "1");
  await world.start(store, { auditIntervalMs: 30 });
  expect([world.has("service 192.0.2.1:30080/tcp"), world.has("service 198.18.0.1:30080/tcp")]).toEqual([true, false]);
  world.machineIps = ["192.0.2.1", "198.18.0.1", "127.0.0.1"];
  await expect.poll(() => world.has("service 198.18.0.1:30080/tcp")).toBe(true);
  expect(world.has("service 127.0.0.1:30080/tcp")).toBe(false);
  world.machineIps = ["198.18.0.1"];
  await expect.poll(() => world.has("service 192.0.2.1:30080/tcp")).toBe(false);
});

test("a Service's address that a link has too keeps its own port from a node port of the same number", async () => {
  const world = new World();
  const store = filled(0);
  const nodePort = { type: "NodePort", clusterIP: "10.96.0.50", ports: [{ port: 80, nodePort: 30080 }] } as const;
  put(store, "Service", makeService("low", { ...nodePort, ports: [...nodePort.ports] }), "1");
  put(store, "EndpointSlice", makeSlice("low", ["10.244.0.50"]), "1");
  const { applied } = await world.start(store);
  expect(world.has("real 192.0.2.1:30080/tcp 10.244.0.50 8080")).toBe(true);
  put(store, "EndpointSlice", makeSlice("own", ["10.244.0.51"]), "1");
  put(store, "Service", makeService("own", { clusterIP: "10.96.0.51", externalIPs: ["192.0.2.1"], ports: [{ port: 30080 }] }), "1");
  await expect.poll(() => applied.length).toBeGreaterThan(1);
  await expect.poll(() => world.has("real 192.0.2.1:30080/tcp 10.244.0.51 8080")).toBe(true);
  expect(world.has("real 192.0.2.1:30080/tcp 10.244.0.50 8080")).toBe(false);
  store.apply("Service", "test/own", undefined, "2");
  await expect.poll(() => world.has("real 192.0.2.1:30080/tcp 10.244.0.50 8080")).toBe(true);
});

test("addresses in ranges that are left to others have no servers; the Service is told", async () => {
  const world = new World();
  const excludeCidrs = [parseCidr("10.96.0.2/32")].flatMap((c) => c ?? []);
  const store = filled(3);
  const { proxier } = await world.start(store, { ipvs: { excludeCidrs } });
  expect(proxier.problems().map((p) => [p.object.name, p.field, p.reason])).toEqual([["s1", "spec.clusterIP", "AddressExcluded"]]);
  expect([1, 2, 3].map((n) => world.has(`service 10.96.0.${n}:80/tcp`))).toEqual([true, false, true]);
  const offline = compileOffline(store.current, { nodeName: "n", backend: "ipvs", ipvs: { excludeCidrs } });
  expect(offline.problems.map((p) => p.reason)).toEqual(["AddressExcluded"]);
});

test("twenty kills at random moments: the next start makes the kernel equal to the plan, and what stays the same is there all the time", async () => {
  const random = seededRandom(20_260_101);
  const kernel = new MemoryIpvsKernel();
  const rules = new MemoryIptables();
  const run: RunIptables = (program, args, input, signal) => {
    if (kernel.crashAfter <= 0) return Promise.reject(new Crash());
    if (program.endsWith("-restore")) kernel.crashAfter--;
    return rules.run(program, args, input, signal);
  };
  /** A process, until its rules are in force or it ends before. */
  const begin = (store: SnapshotStore): Promise<void> => {
    const applier = createIptablesApplier("nft", run);
    const settings = { strictArp: false };
    const silent = () => Promise.resolve({ code: 0, stdout: "", stderr: "" });
    const servers = new KernelIpvsApplier({ ...kernel.doors(), rules: applier, run: silent, clock: systemClock, settings });
    const { proxier } = new World().begin(store, {}, { servers, rules: applier });
    return proxier.ready.finally(() => proxier.close());
  };
  const objects = (): SnapshotStore => {
    const store = filled(3);
    for (let n = 4; n < 30; n++) {
      if (random.below(2) === 0) continue;
      const nodePort = random.below(3) === 0 ? { type: "NodePort", ports: [{ port: 80, targetPort: 8080, nodePort: 31_000 + n }] } : {};
      put(store, "Service", makeService(`s${n}`, { clusterIP: `10.96.0.${n}`, ...nodePort }), "2");
      const ips = Array.from({ length: random.below(4) }, () => `10.244.0.${20 + random.below(200)}`);
      put(store, "EndpointSlice", makeSlice(`s${n}`, [...new Set(ips)]), "2");
    }
    return store;
  };
  await begin(filled(3));
  kernel.onChange = () => {
    for (const n of [1, 2, 3]) {
      expect(kernel.addresses?.has(`10.96.0.${n}`), kernel.log.at(-1)).toBe(true);
      const reals = kernel.services.get(`10.96.0.${n}:80/tcp`)?.reals ?? new Map();
      expect([...reals.values()], kernel.log.at(-1)).toMatchObject([{ ip: `10.244.0.${n}`, weight: 1 }]);
    }
  };
  let early = 0;
  for (let kill = 0; kill < 20; kill++) {
    kernel.crashAfter = random.below(80);
    await begin(objects()).catch((error: unknown) => {
      expect(error).toBeInstanceOf(Crash);
      early++;
    });
    kernel.crashAfter = Number.POSITIVE_INFINITY;
    const store = objects();
    await begin(store);
    const fresh = new World();
    await fresh.start(store);
    const there = await kernelItems(kernel);
    expect(there, `kill ${kill}`).toEqual(new Set([...fresh.servers.items.keys()].sort()));
    const lines = async (of: MemoryIptables) =>
      new Set((await of.run("iptables-nft-save", [], "", AbortSignal.timeout(5000))).stdout.split("\n"));
    expect(await lines(rules), `kill ${kill}`).toEqual(await lines(fresh.rules));
  }
  expect(early).toBeGreaterThan(5);
});

async function kernelItems(kernel: MemoryIpvsKernel): Promise<ReadonlySet<string>> {
  const settings = { strictArp: false };
  const silent = () => Promise.resolve({ code: 0, stdout: "", stderr: "" });
  const reader = new KernelIpvsApplier({ ...kernel.doors(), rules: undefined, run: silent, clock: systemClock, settings });
  const { items } = await reader.read(AbortSignal.timeout(5000), () => true);
  await reader.close();
  return new Set([...items.keys()].sort());
}
