import { describe, expect, test } from "vitest";
import { isApplyError } from "../../../rules/apply/errors.ts";
import { KernelIpvsApplier } from "../../../rules/apply/kernel-ipvs-applier.ts";
import type { ChangeGroup, IpvsState, IpvsTransaction } from "../../../rules/ipvs/transaction.ts";
import {
  fwmarkBase,
  fwmarkDatagrams,
  type IpvsItem,
  itemId,
  type ServiceMatch,
  type SetDefinition,
  sameSettings,
} from "../../../rules/ipvs/values.ts";
import type { Protocol } from "../../../rules/model/service-port.ts";
import { assertState, ipvsApplierContract } from "../../contract/ipvs-applier.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { Crash, MemoryIpvsKernel } from "../../support/memory-ipvs-kernel.ts";

const signal = AbortSignal.timeout(60_000);

function open(kernel: MemoryIpvsKernel, clock = new FakeClock()): KernelIpvsApplier {
  const run = () => Promise.resolve({ code: 0, stdout: "", stderr: "" });
  return new KernelIpvsApplier({ ...kernel.doors(), rules: undefined, run, clock, settings: { strictArp: false } });
}

for (const { name, run } of ipvsApplierContract("kernel in memory", async () => {
  const applier = open(new MemoryIpvsKernel());
  await applier.prepare(signal);
  return applier;
})) {
  test(name, () => run(signal));
}

const at = (n: number, protocol: Protocol = "tcp"): ServiceMatch => ({ kind: "address", protocol, ip: `10.96.0.${n}`, port: 80 });
const service = (match: ServiceMatch, scheduler = "rr"): IpvsItem => ({ kind: "service", service: { match, scheduler } });
const real = (match: ServiceMatch, n: number, weight = 1): IpvsItem => ({
  kind: "real",
  match,
  real: { ip: `10.244.1.${n}`, port: 8080, weight },
});
const address = (n: number): IpvsItem => ({ kind: "address", ip: `10.96.0.${n}` });
const set: SetDefinition = { name: "FAIRWAY-T", type: "hash:ip,port", family: 4 };
/** As every program has for every address and port it serves. */
const entry = (n: number, protocol: Protocol = "tcp"): IpvsItem => ({
  kind: "entry",
  entry: { set: set.name, fields: [`10.96.0.${n}`, { protocol, port: 80 }] },
});
const group = (change: Partial<ChangeGroup>): IpvsTransaction => ({
  createSets: [],
  groups: [{ owner: "web", deletes: [], changes: [], adds: [], ...change }],
  destroySets: [],
});

/** From what is there to what is wanted. */
function difference(found: IpvsState, sets: readonly SetDefinition[], items: readonly IpvsItem[]): IpvsTransaction {
  const wanted = new Map(items.map((item) => [itemId(item), item]));
  const adds = items.filter((item) => !found.items.has(itemId(item)));
  const changes = items.flatMap((after) => {
    const before = found.items.get(itemId(after));
    return before === undefined || sameSettings(before, after) ? [] : [{ before, after }];
  });
  const goes = (item: IpvsItem): boolean => !wanted.has(itemId(item));
  const deletes = [...found.items.values()].filter(
    (item) => goes(item) && !(item.kind === "real" && goes({ kind: "service", service: { match: item.match, scheduler: "" } })),
  );
  return {
    createSets: sets.filter((s) => !found.sets.has(s.name)),
    groups: [{ owner: "all", adds, changes, deletes }],
    destroySets: [...found.sets.values()].filter((s) => !sets.includes(s)),
  };
}

const first = [address(1), address(2), entry(1), entry(2), entry(2, "udp"), service(at(1)), service(at(2)), service(at(2, "udp"))].concat(
  [1, 2, 3].map((n) => real(at(1), n)),
  [4, 5].map((n) => real(at(2), n)),
  real(at(2, "udp"), 4),
);
const second = [address(1), address(3), entry(1), entry(3), service(at(1), "wrr"), service(at(3))].concat(
  [2, 3, 6].map((n) => real(at(1), n, n)),
  [4, 7].map((n) => real(at(3), n)),
);

async function loaded(items: readonly IpvsItem[]): Promise<{ readonly kernel: MemoryIpvsKernel; readonly applier: KernelIpvsApplier }> {
  const kernel = new MemoryIpvsKernel();
  const applier = open(kernel);
  await applier.prepare(signal);
  await applier.apply(difference(await applier.read(signal), [set], items), signal);
  kernel.log.splice(0);
  return { kernel, applier };
}

test("at no moment is there an address without its services, or a service without endpoints behind an address", async () => {
  const kernel = new MemoryIpvsKernel();
  let looked = 0;
  kernel.onChange = () => {
    for (const ip of kernel.addresses ?? []) {
      const here = [...kernel.services.values()].filter(({ service: { match } }) => match.kind === "address" && match.ip === ip);
      expect(here.length, kernel.log.at(-1)).toBeGreaterThan(0);
      for (const { reals } of here) expect(reals.size, kernel.log.at(-1)).toBeGreaterThan(0);
      looked++;
    }
  };
  const applier = open(kernel);
  await applier.prepare(signal);
  for (const items of [first, second, first]) await applier.apply(difference(await applier.read(signal), [set], items), signal);
  await applier.apply(difference(await applier.read(signal), [], []), signal);
  expect(looked).toBeGreaterThan(50);
  expect([kernel.services.size, kernel.sets.size, kernel.addresses?.size]).toEqual([0, 0, 0]);
});

test("whichever change is refused, nothing of the transaction stays", async () => {
  const sample = await loaded(first);
  await sample.applier.apply(difference(await sample.applier.read(signal), [set], second), signal);
  const additions = sample.kernel.log.filter((text) => /^(-A|-E|-a|-e|add|address add) /.test(text) && !text.endsWith("-w 0"));
  expect(additions.length).toBeGreaterThan(7);
  for (const refused of additions) {
    const { kernel, applier } = await loaded(first);
    kernel.refuses = (text) => text === refused;
    const error: unknown = await applier.apply(difference(await applier.read(signal), [set], second), signal).catch((e: unknown) => e);
    expect(isApplyError(error) && [error.code, error.owner], refused).toEqual(["REFUSED", "all"]);
    assertState(await applier.read(signal), [set], first);
  }
});

test("of all that is refused together it is said whose it is", async () => {
  const { kernel, applier } = await loaded(first);
  kernel.refuses = (text) => /^-[Aa] .*10\.96\.0\.[78]:/.test(text);
  const groups = [7, 8, 9].map((n) => ({ owner: `s${n}`, deletes: [], changes: [], adds: [address(n), service(at(n))] }));
  const error: unknown = await applier.apply({ createSets: [], destroySets: [], groups }, signal).catch((e: unknown) => e);
  expect(isApplyError(error) && [error, ...error.others].map((e) => [e.code, e.owner])).toEqual([
    ["REFUSED", "s7"],
    ["REFUSED", "s8"],
  ]);
  assertState(await applier.read(signal), [set], first);
});

test("wherever the process ends, the next one finds what there is and makes it as wanted", async () => {
  const { kernel: whole, applier } = await loaded(first);
  await applier.apply(difference(await applier.read(signal), [set], second), signal);
  const changes = whole.log.length;
  expect(changes).toBeGreaterThan(14);
  for (let crash = 0; crash < changes; crash++) {
    const { kernel, applier: killed } = await loaded(first);
    const transaction = difference(await killed.read(signal), [set], second);
    kernel.crashAfter = crash;
    await expect(killed.apply(transaction, signal)).rejects.toThrow(Crash);
    kernel.crashAfter = Number.POSITIVE_INFINITY;
    const next = open(kernel);
    await next.prepare(signal);
    await next.apply(difference(await next.read(signal), [set], second), signal);
    assertState(await next.read(signal), [set], second);
    expect(new Set(kernel.services.keys())).toEqual(new Set(whole.services.keys()));
  }
});

test("a virtual service that others made at an address is left as it is, until a reading by what is wanted finds it", async () => {
  const { kernel, applier } = await loaded(first);
  const match = at(9);
  const theirs = { match, scheduler: "wlc" };
  await kernel.doors().servers.commit([{ verb: "add", kind: "service", service: theirs }], signal);
  const adds = [entry(9), address(9), service(match), real(match, 1)];
  await expect(applier.apply(group({ adds }), signal)).rejects.toMatchObject({ code: "DIVERGED", owner: "web" });
  assertState(await applier.read(signal), [set], first);
  expect(kernel.services.get("10.96.0.9:80/tcp")).toEqual({ service: theirs, reals: new Map() });
  const found = await applier.read(signal, (m) => m.kind === "address" && m.ip === "10.96.0.9");
  assertState(found, [set], [...first, service(match, "wlc")]);
  await applier.apply(difference(found, [set], [...first, ...adds]), signal);
  assertState(await applier.read(signal), [set], [...first, ...adds]);
});

describe("an endpoint that leaves", () => {
  const web = at(1);
  const items = [address(1), service(web), real(web, 1), real(web, 2)];
  const weights = (kernel: MemoryIpvsKernel): readonly (readonly [string, number])[] =>
    [...(kernel.services.get("10.96.0.1:80/tcp")?.reals.values() ?? [])].map((r) => [r.ip, r.weight]);
  async function leaving(connections: number) {
    const kernel = new MemoryIpvsKernel();
    const clock = new FakeClock();
    const applier = open(kernel, clock);
    await applier.prepare(signal);
    await applier.apply(group({ adds: items }), signal);
    kernel.active.set("10.96.0.1:80/tcp 10.244.1.2 8080", connections);
    await applier.apply(group({ deletes: [real(web, 2)] }), signal);
    return { kernel, clock, applier };
  }

  test("goes at once when it has no connection", async () => {
    const { kernel, applier } = await leaving(0);
    expect(weights(kernel)).toEqual([["10.244.1.1", 1]]);
    expect(applier.draining()).toBe(0);
    await applier.close();
  });

  test("takes no new connection and goes within a second of the end of its last", async () => {
    const { kernel, clock, applier } = await leaving(2);
    expect(weights(kernel)).toEqual([
      ["10.244.1.1", 1],
      ["10.244.1.2", 0],
    ]);
    expect(await applier.activeConnections(web, { ip: "10.244.1.2", port: 8080 }, signal)).toBe(2);
    // for the plan it is gone
    assertState(
      await applier.read(signal),
      [],
      items.filter((item) => item.kind !== "real" || item.real.ip === "10.244.1.1"),
    );
    await clock.advance(60_000);
    expect(applier.draining()).toBe(1);
    kernel.active.clear();
    await clock.advance(1000);
    expect(applier.draining()).toBe(0);
    expect(weights(kernel)).toEqual([["10.244.1.1", 1]]);
    await applier.close();
  });

  test("gets its weight back when it is wanted again, and stays", async () => {
    const { kernel, clock, applier } = await leaving(1);
    await applier.apply(group({ adds: [real(web, 2, 3)] }), signal);
    kernel.active.clear();
    await clock.advance(5000);
    expect(weights(kernel)).toEqual([
      ["10.244.1.1", 1],
      ["10.244.1.2", 3],
    ]);
    await applier.close();
  });

  test("goes on leaving when what would bring it back is refused", async () => {
    const { kernel, clock, applier } = await leaving(1);
    const bad = group({ adds: [real(web, 2, 3), service(at(9), "none-such")] });
    await expect(applier.apply(bad, signal)).rejects.toMatchObject({ code: "REFUSED" });
    expect(weights(kernel).at(-1)).toEqual(["10.244.1.2", 0]);
    kernel.active.clear();
    await clock.advance(1000);
    expect(weights(kernel)).toEqual([["10.244.1.1", 1]]);
    await applier.close();
  });

  test("is left to the next process by one that ends", async () => {
    const { kernel, clock, applier } = await leaving(1);
    await applier.close();
    kernel.active.clear();
    await clock.advance(5000);
    expect(weights(kernel).at(-1)).toEqual(["10.244.1.2", 0]);
    const next = open(kernel);
    expect((await next.read(signal)).items.get(itemId(real(web, 2)))).toEqual(real(web, 2, 0));
    await next.apply(group({ deletes: [real(web, 2, 0)] }), signal);
    expect(weights(kernel)).toEqual([["10.244.1.1", 1]]);
    await next.close();
  });

  test.each([
    ["UDP", at(1, "udp")],
    ["a mark of datagrams", { kind: "fwmark", family: 4, mark: fwmarkBase + fwmarkDatagrams + 1 }],
  ] as const)("of %s goes at once, whatever it has", async (_, match) => {
    const kernel = new MemoryIpvsKernel();
    const applier = open(kernel);
    await applier.prepare(signal);
    await applier.apply(group({ adds: [address(1), service(match), real(match, 1), real(match, 2)] }), signal);
    for (const key of kernel.services.keys()) kernel.active.set(`${key} 10.244.1.2 8080`, 9);
    await applier.apply(group({ deletes: [real(match, 2)] }), signal);
    expect([...kernel.services.values()].map((s) => s.reals.size)).toEqual([1]);
    await applier.close();
  });
});

describe("a virtual service that goes", () => {
  const web = at(1);
  const items = [address(1), entry(1), service(web), real(web, 1), real(web, 2)];
  const all = group({ deletes: [address(1), entry(1), service(web)] });
  async function start(clock = new FakeClock()) {
    const kernel = new MemoryIpvsKernel();
    const applier = open(kernel, clock);
    await applier.prepare(signal);
    await applier.apply({ ...group({ adds: items }), createSets: [set] }, signal);
    return { kernel, clock, applier };
  }
  async function going(connections: number) {
    const started = await start();
    started.kernel.active.set("10.96.0.1:80/tcp 10.244.1.2 8080", connections);
    await started.applier.apply(all, signal);
    return started;
  }
  const table = (kernel: MemoryIpvsKernel): Readonly<Record<string, readonly string[]>> =>
    Object.fromEntries([...kernel.services].map(([key, { reals }]) => [key, [...reals.values()].map((r) => `${r.ip} ${r.weight}`)]));
  const waiting = { "10.96.0.1:80/tcp": ["10.244.1.2 0"] };

  test("goes at once where nothing is connected", async () => {
    const { kernel, applier } = await going(0);
    expect(table(kernel)).toEqual({});
    expect(kernel.addresses).toEqual(new Set());
    await applier.close();
  });

  test("waits for its connections, at its address and at no entry; the plan does not see it", async () => {
    const { kernel, clock, applier } = await going(1);
    await clock.advance(10_000);
    expect(table(kernel)).toEqual(waiting);
    expect(kernel.addresses).toEqual(new Set(["10.96.0.1"]));
    assertState(await applier.read(signal), [set], []);
    kernel.active.clear();
    await clock.advance(1000);
    expect(table(kernel)).toEqual({});
    expect(kernel.addresses).toEqual(new Set());
    await applier.close();
  });

  test("is wanted again with another scheduler and other endpoints: the one that waits goes by itself", async () => {
    const { kernel, clock, applier } = await going(1);
    await applier.apply(group({ adds: [address(1), entry(1), service(web, "wrr"), real(web, 3)] }), signal);
    expect(table(kernel)).toEqual({ "10.96.0.1:80/tcp": ["10.244.1.2 0", "10.244.1.3 1"] });
    expect(kernel.services.get("10.96.0.1:80/tcp")?.service.scheduler).toBe("wrr");
    assertState(await applier.read(signal), [set], [address(1), entry(1), service(web, "wrr"), real(web, 3)]);
    kernel.active.clear();
    await clock.advance(1000);
    expect(table(kernel)).toEqual({ "10.96.0.1:80/tcp": ["10.244.1.3 1"] });
    expect(kernel.addresses).toEqual(new Set(["10.96.0.1"]));
    await applier.close();
  });

  test("goes on waiting when what would bring it back is refused", async () => {
    const { kernel, clock, applier } = await going(1);
    const bad = group({ adds: [address(1), service(web), real(web, 2), service(at(9), "none-such")] });
    await expect(applier.apply(bad, signal)).rejects.toMatchObject({ code: "REFUSED" });
    expect(table(kernel)).toEqual(waiting);
    kernel.active.clear();
    await clock.advance(1000);
    expect(table(kernel)).toEqual({});
    expect(kernel.addresses).toEqual(new Set());
    await applier.close();
  });

  test("is found by the next process, which waits as well", async () => {
    const { kernel, clock, applier } = await going(1);
    await applier.close();
    const next = open(kernel, clock);
    const found = await next.read(signal);
    assertState(found, [set], [address(1), service(web), real(web, 2, 0)]);
    await next.apply(difference(found, [set], []), signal);
    expect(table(kernel)).toEqual(waiting);
    expect(kernel.addresses).toEqual(new Set(["10.96.0.1"]));
    kernel.active.clear();
    await clock.advance(1000);
    expect(table(kernel)).toEqual({});
    expect(kernel.addresses).toEqual(new Set());
    await next.close();
  });

  test("is forgotten when others removed it, and can be made anew", async () => {
    const { kernel, applier } = await going(1);
    kernel.services.clear();
    kernel.addresses = new Set();
    assertState(await applier.read(signal), [set], []);
    await applier.apply(group({ adds: items }), signal);
    expect(table(kernel)).toEqual({ "10.96.0.1:80/tcp": ["10.244.1.1 1", "10.244.1.2 1"] });
    expect(kernel.addresses).toEqual(new Set(["10.96.0.1"]));
    await applier.close();
  });

  test("of a node port waits while an entry says that it is ours, as it does where it has no endpoint any more", async () => {
    const refused: SetDefinition = { name: "FAIRWAY-R", type: "hash:ip,port", family: 4 };
    const nodePort: ServiceMatch = { kind: "address", protocol: "tcp", ip: "172.31.7.1", port: 80 };
    const at80 = (of: SetDefinition): IpvsItem => ({
      kind: "entry",
      entry: { set: of.name, fields: ["172.31.7.1", { protocol: "tcp", port: 80 }] },
    });
    const { kernel, clock, applier } = await start();
    const adds = [at80(set), service(nodePort), real(nodePort, 1)];
    await applier.apply({ ...group({ adds }), createSets: [refused] }, signal);
    kernel.active.set("172.31.7.1:80/tcp 10.244.1.1 8080", 1);
    await applier.apply(group({ deletes: [at80(set), service(nodePort)], adds: [at80(refused)] }), signal);
    expect(table(kernel)["172.31.7.1:80/tcp"]).toEqual(["10.244.1.1 0"]);
    // another entry is the last that says so: nobody could find it after this process
    await applier.apply(group({ deletes: [at80(refused)] }), signal);
    expect(Object.keys(table(kernel))).toEqual(["10.96.0.1:80/tcp"]);
    await applier.apply(group({ adds }), signal);
    await applier.apply(group({ deletes: [at80(set), service(nodePort)] }), signal);
    expect(Object.keys(table(kernel))).toEqual(["10.96.0.1:80/tcp"]);
    await clock.advance(2000);
    await applier.close();
  });

  test("of a mark keeps the addresses that its connections came to", async () => {
    const mark: ServiceMatch = { kind: "fwmark", family: 4, mark: fwmarkBase + 1 };
    const { kernel, clock, applier } = await start();
    await applier.apply(group({ adds: [service(mark), real(mark, 1)] }), signal);
    kernel.active.set("fwmark4:0x5f000001 10.244.1.1 8080", 1);
    await applier.apply(group({ deletes: [service(mark), address(1), entry(1), service(web)] }), signal);
    expect(table(kernel)).toEqual({ "fwmark4:0x5f000001": ["10.244.1.1 0"] });
    expect(kernel.addresses).toEqual(new Set(["10.96.0.1"]));
    kernel.active.clear();
    await clock.advance(1000);
    expect(table(kernel)).toEqual({});
    expect(kernel.addresses).toEqual(new Set());
    await applier.close();
  });
});

describe("what kube-proxy left beside the service link", () => {
  const nodePort = (port: number): ServiceMatch => ({ kind: "address", protocol: "tcp", ip: "172.31.7.1", port });
  const ports: SetDefinition = { name: "KUBE-NODE-PORT-TCP", type: "bitmap:port" };
  const clusterIps: SetDefinition = { name: "KUBE-CLUSTER-IP", type: "hash:ip,port", family: 4 };
  async function left() {
    const { kernel, applier } = await loaded(first);
    const { servers, sets } = kernel.doors();
    await servers.commit(
      [30001, 30002, 30003].map((port) => ({ verb: "add", kind: "service", service: { match: nodePort(port), scheduler: "rr" } })),
      signal,
    );
    const entries = [30001, 30002].map((port) => ({ verb: "add", entry: { set: ports.name, fields: [{ port }] } }) as const);
    await sets.commit([{ verb: "create", set: ports }, { verb: "create", set: clusterIps }, ...entries], signal);
    return { kernel, applier };
  }
  const foreign = (kernel: MemoryIpvsKernel): readonly string[] => [...kernel.services.keys()].filter((key) => key.startsWith("172."));
  const wanted = (match: ServiceMatch): boolean => match.kind === "address" && match.port === 30002;

  test("goes: its sets, and servers at the node ports they list but those that are wanted", async () => {
    const { kernel, applier } = await left();
    expect(await applier.removeKubeProxy(wanted, signal)).toBe(true);
    expect(foreign(kernel)).toEqual(["172.31.7.1:30002/tcp", "172.31.7.1:30003/tcp"]);
    expect([...kernel.sets.keys()]).toEqual([set.name]);
    assertState(await applier.read(signal), [set], first);
    await applier.close();
  });

  test("stays while its rules name the sets", async () => {
    const { kernel, applier } = await left();
    kernel.refuses = (text) => text === `destroy ${ports.name}`;
    expect(await applier.removeKubeProxy(wanted, signal)).toBe(false);
    expect(foreign(kernel)).toHaveLength(3);
    expect([...kernel.sets.keys()]).toEqual([set.name, ports.name]);
    kernel.refuses = () => false;
    expect(await applier.removeKubeProxy(wanted, signal)).toBe(true);
    expect(foreign(kernel)).toHaveLength(2);
    expect(await applier.removeKubeProxy(wanted, signal)).toBe(true);
    await applier.close();
  });

  test("stays where a kube-proxy came back beside fairway: cleaning up leaves it the servers and addresses that its sets list", async () => {
    const { kernel, applier } = await left();
    const { sets } = kernel.doors();
    const fields = ["10.96.0.1", { protocol: "tcp", port: 80 }] as const;
    await sets.commit([{ verb: "add", entry: { set: clusterIps.name, fields } }], signal);
    await applier.remove(signal);
    expect([...kernel.services.keys()]).toEqual([
      "10.96.0.1:80/tcp",
      "172.31.7.1:30001/tcp",
      "172.31.7.1:30002/tcp",
      "172.31.7.1:30003/tcp",
    ]);
    expect(kernel.addresses).toEqual(new Set(["10.96.0.1"]));
    expect([...kernel.sets.keys()]).toEqual([ports.name, clusterIps.name]);
    // and once that is gone
    await sets.commit(
      [ports, clusterIps].map((gone) => ({ verb: "destroy", set: gone }) as const),
      signal,
    );
    await applier.remove(signal);
    expect(kernel.addresses).toBeUndefined();
    expect([...kernel.services.keys()].filter((key) => key.startsWith("10."))).toEqual([]);
    await applier.close();
  });
});
