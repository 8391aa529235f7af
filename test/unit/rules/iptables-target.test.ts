import { afterEach, expect, test } from "vitest";
import { createIptablesApplier, removeAllOf } from "../../../rules/apply/iptables-applier.ts";
import { compileOffline, type Proxier } from "../../../rules/index.ts";
import { executeRules } from "../../../rules/iptables/execute.ts";
import { printRule } from "../../../rules/iptables/print.ts";
import { ruleSetOf } from "../../../rules/iptables/program.ts";
import { IptablesTarget } from "../../../rules/sync/iptables-target.ts";
import { ProxierMetrics } from "../../../rules/sync/metrics.ts";
import { runProxier } from "../../../rules/sync/proxier.ts";
import { iptablesOptionsOf } from "../../../rules/sync/surroundings.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { MemoryIptables } from "../../support/memory-iptables.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../../support/rules-objects.ts";

const running: Proxier[] = [];
afterEach(async () => {
  for (const proxier of running.splice(0)) await proxier.close();
});

function begin(memory: MemoryIptables, store: SnapshotStore, canaryIntervalMs?: number) {
  const applied: number[] = [];
  const log: string[] = [];
  const config = { store, nodeName: "n", backend: "iptables", auditIntervalMs: 0 } as const;
  const other = new MemoryIptables();
  const proxier = runProxier(
    config,
    { clock: systemClock, log: (_, message) => log.push(message), onApplied: (info) => applied.push(info.elements) },
    {
      target: new IptablesTarget(
        { nodeName: "n", families: [4], options: iptablesOptionsOf(config), canaryIntervalMs },
        {
          open: () =>
            Promise.resolve({ applier: createIptablesApplier("nft", memory.run), other: createIptablesApplier("legacy", other.run) }),
          routeLocalnet: () => undefined,
          tcpIsLiberal: () => false,
          noteAffinity: () => undefined,
          noteUncounted: () => undefined,
        },
      ),
      metrics: new ProxierMetrics(),
    },
  );
  running.push(proxier);
  return { proxier, applied, log };
}

async function start(...args: Parameters<typeof begin>) {
  const begun = begin(...args);
  await begun.proxier.ready;
  return begun;
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
const trace = (proxier: Proxier, n: number): string => {
  const v = proxier.trace({ from: "10.244.0.99", to: `10.96.0.${n}`, port: 80, protocol: "tcp" });
  return v.endpoints[0] ?? v.verdict;
};
const nat = async (memory: MemoryIptables): Promise<string> =>
  (await memory.run("iptables-nft-save", [], "", AbortSignal.timeout(5000))).stdout;

test("a Service whose rules are refused is left out and named; the others are in force", async () => {
  const memory = new MemoryIptables();
  memory.refuses = (line) => line.includes("10.244.0.5:");
  const { proxier } = await start(memory, filled(20));
  expect(proxier.problems().map((p) => [p.object.name, p.reason])).toEqual([["s4", "RuleRefused"]]);
  expect(proxier.problems()[0]?.message).toContain("10.96.0.5:80/tcp");
  expect([trace(proxier, 4), trace(proxier, 6)]).toEqual(["10.244.0.4:8080", "10.244.0.6:8080"]);
  const text = await nat(memory);
  expect(text).not.toContain("10.244.0.5:");
  for (const n of [1, 4, 6, 20]) expect(text).toContain(`--to-destination 10.244.0.${n}:8080`);
});

test("a refused change: the Service has no rules, other changes of the burst are in force, and the next change is tried", async () => {
  const memory = new MemoryIptables();
  const store = filled(8);
  const { proxier, applied } = await start(memory, store);
  memory.refuses = (line) => line.includes("192.0.2.66:");
  put(store, "EndpointSlice", makeSlice("s2", ["192.0.2.66"]), "2");
  put(store, "EndpointSlice", makeSlice("s3", ["10.244.0.77"]), "2");
  await expect.poll(() => applied.length).toBe(2);
  expect(proxier.problems().map((p) => p.object.name)).toEqual(["s2"]);
  const text = await nat(memory);
  expect(text).toContain("10.244.0.77:8080");
  expect(text).not.toContain("--to-destination 10.244.0.3:8080");
  put(store, "EndpointSlice", makeSlice("s2", ["10.244.0.3"]), "3");
  await expect.poll(() => applied.length).toBe(3);
  expect(proxier.problems()).toEqual([]);
  expect(trace(proxier, 3)).toBe("10.244.0.3:8080");
});

/** What is in force after each run of the loader. */
function watched(memory: MemoryIptables): readonly string[] {
  const seen: string[] = [];
  const { run } = memory;
  Object.assign(memory, {
    run: async (...[program, args, input, signal]: Parameters<typeof run>) => {
      const result = await run(program, args, input, signal);
      if (program.endsWith("-restore")) seen.push((await run("iptables-nft-save", [], "", signal)).stdout);
      return result;
    },
  });
  return seen;
}
const translated = (text: string): readonly string[] =>
  [...text.matchAll(/-A FAIRWAY-P\S+ .*--to-destination (\S+):8080/g)].map((m) => m[1] ?? "").sort();
const endpoints = (...numbers: readonly number[]): readonly string[] => numbers.map((n) => `10.244.0.${n}`).sort();

test.each([
  { what: "a Service that was not there", refused: /10\.244\.0\.13:/, out: [13], named: ["s12"] },
  { what: "a jump to one", refused: /-d 10\.96\.0\.13\/32/, out: [13], named: ["s12"] },
  { what: "several", refused: /10\.244\.0\.1[134]:/, out: [11, 13, 14], named: ["s10", "s12", "s13"] },
  { what: "one that was there, changed meanwhile", refused: /10\.244\.0\.99:/, out: [4], named: ["s3"] },
] as const)("a refusal at a restart takes none of the others' rules away: $what", async ({ refused, out, named }) => {
  const memory = new MemoryIptables();
  await (await start(memory, filled(10))).proxier.close();
  memory.refuses = (line) => refused.test(line);
  const seen = watched(memory);
  const store = filled(14);
  put(store, "EndpointSlice", makeSlice("s3", [refused.test("10.244.0.99:") ? "10.244.0.99" : "10.244.0.4"]), "2");
  const { proxier } = await start(memory, store);
  expect(seen.length).toBeGreaterThan(2);
  const others = [1, 2, 3, 5, 6, 7, 8, 9, 10];
  for (const text of seen) {
    expect(translated(text)).toEqual(expect.arrayContaining([...endpoints(...others)]));
    expect(text).toContain("-A PREROUTING -j FAIRWAY-SERVICES");
  }
  const all = [...others, 4, 11, 12, 13, 14].filter((n) => !out.some((o) => o === n));
  expect(translated(await nat(memory))).toEqual(endpoints(...all));
  expect(await nat(memory)).not.toContain("TRIAL");
  expect(
    proxier
      .problems()
      .map((p) => p.object.name)
      .sort(),
  ).toEqual(named);
});

test("a refusal at a restart that is no single Service's doing leaves all that was found, is told, and is tried again", async () => {
  const memory = new MemoryIptables();
  await (await start(memory, filled(10))).proxier.close();
  // each by itself is taken, in one run they are not
  const runsOf12 = new Set<number>();
  let refuses = true;
  memory.refuses = (line) => {
    if (line.includes("10.244.0.12:")) runsOf12.add(memory.runs.length);
    return refuses && line.includes("10.244.0.13:") && runsOf12.has(memory.runs.length);
  };
  const seen = watched(memory);
  const store = filled(14);
  put(store, "EndpointSlice", makeSlice("s3", ["10.244.0.99"]), "2");
  const { proxier, log } = begin(memory, store);
  // two whole tries
  await expect.poll(() => log.length, { timeout: 10_000 }).toBeGreaterThan(1);
  expect(log[0]).toMatch(/^Service rules were not applied: .*Invalid argument.*; next try in/);
  for (const text of seen) {
    expect(translated(text)).toEqual(endpoints(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
    expect(text).toContain("-A PREROUTING -j FAIRWAY-SERVICES");
  }
  expect(proxier.problems()).toEqual([]);
  refuses = false;
  await proxier.ready;
  expect(translated(await nat(memory))).toEqual(endpoints(1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 99));
});

test("a repair that is refused leaves out what is, repairs the rest, and asks for it again", async () => {
  const memory = new MemoryIptables();
  const { proxier } = await start(memory, filled(10), 5);
  memory.refuses = (line) => line.includes("10.244.0.5:");
  memory.flush("4", "nat");
  await expect.poll(() => proxier.problems().map((p) => p.object.name)).toEqual(["s4"]);
  await expect.poll(async () => translated(await nat(memory))).toEqual(endpoints(1, 2, 3, 4, 6, 7, 8, 9, 10));
  expect(proxier.metrics()).toContain("fairway_rules_refused 1\n");
  memory.refuses = () => false;
  await expect.poll(async () => translated(await nat(memory)), { timeout: 10_000 }).toEqual(endpoints(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  expect(proxier.problems()).toEqual([]);
});

test("what is refused is asked for again until it is taken", async () => {
  const memory = new MemoryIptables();
  memory.refuses = (line) => line.includes("10.244.0.5:");
  const { proxier, applied } = await start(memory, filled(20));
  const asked = (): number => memory.runs.filter(({ input }) => input.includes("10.244.0.5:")).length;
  const before = asked();
  const started = memory.runs.length;
  await expect.poll(asked, { timeout: 5000 }).toBeGreaterThan(before);
  // what refuses comes first, so that no other table has to take anything back
  const tries = memory.runs.slice(started).filter(({ program }) => program.endsWith("-restore"));
  expect(tries.map(({ input }) => /^\*(\w+)/.exec(input)?.[1])).toEqual(tries.map(() => "nat"));
  expect(tries.every(({ input }) => input.includes("10.244.0.5:"))).toBe(true);
  await expect.poll(() => proxier.problems().map((p) => p.object.name)).toEqual(["s4"]);
  expect(applied.length).toBe(1);
  memory.refuses = () => false;
  await expect.poll(() => trace(proxier, 5), { timeout: 10_000 }).toBe("10.244.0.5:8080");
  await expect.poll(() => applied.length).toBe(2);
  expect(proxier.problems()).toEqual([]);
  expect(await nat(memory)).toContain("--to-destination 10.244.0.5:8080");
});

test("a chain that another's rules lead to is emptied and told of; all else is in force, and it goes when they are gone", async () => {
  const memory = new MemoryIptables();
  const store = filled(3);
  const { proxier } = await start(memory, store, 5);
  const pool = /-j (FAIRWAY-P-\S+)/.exec((await nat(memory)).split("\n").find((l) => l.includes("10.96.0.2/32")) ?? "")?.[1] ?? "";
  const restore = (...lines: readonly string[]) =>
    memory.run("iptables-nft-restore", [], `${["*nat", ...lines, "COMMIT"].join("\n")}\n`, AbortSignal.timeout(5000));
  expect(await restore(":OTHERS - [0:0]", `-A OTHERS -p tcp -g ${pool}`, `-A OUTPUT -p udp -j ${pool}`)).toMatchObject({ code: 0 });
  store.apply("Service", "test/s1", undefined, "2");
  put(store, "EndpointSlice", makeSlice("s2", ["10.244.0.77"]), "2");
  await expect.poll(() => nat(memory)).toContain("--to-destination 10.244.0.77:8080");
  expect(await nat(memory)).not.toMatch(/10\.96\.0\.2\/32|10\.244\.0\.2:/);
  expect(proxier.problems()).toMatchObject([
    {
      object: { kind: "Node", name: "n" },
      reason: "ForeignJump",
      message: expect.stringContaining(`OTHERS and OUTPUT in table nat`) as string,
    },
  ]);
  expect(proxier.problems()[0]?.message).toContain(pool);
  // a change beside it is one transaction, and a start over it none
  await proxier.close();
  const second = await start(memory, store, 5);
  expect(second.applied).toEqual([]);
  expect(second.proxier.problems().map((p) => p.reason)).toEqual(["ForeignJump"]);
  await second.proxier.close();
  await restore(`-D OUTPUT -p udp -j ${pool}`, ":OTHERS - [0:0]", "-X OTHERS");
  const third = await start(memory, store, 5);
  expect(third.proxier.problems()).toEqual([]);
  expect(await nat(memory)).not.toContain(pool);
});

test("removing all of ours leaves a chain that another's rules lead to, empty, and says so", async () => {
  const memory = new MemoryIptables();
  const { proxier } = await start(memory, filled(3));
  await proxier.close();
  const signal = AbortSignal.timeout(5000);
  await memory.run("iptables-nft-restore", [], "*nat\n:OTHERS - [0:0]\n-A OTHERS -j FAIRWAY-SERVICES\nCOMMIT\n", signal);
  const applier = createIptablesApplier("nft", memory.run);
  await expect(removeAllOf(applier, 4, signal)).rejects.toThrow(/OTHERS in table nat .* FAIRWAY-SERVICES, which .* remove those rules/);
  const left = (await nat(memory)).split("\n").filter((l) => l.includes("FAIRWAY"));
  expect(left).toEqual([":FAIRWAY-SERVICES - [0:0]", "-A OTHERS -j FAIRWAY-SERVICES"]);
  expect(await applier.remove(4, signal)).toBe(false);
});

test("a failure that passes is tried again; a kernel that is not as thought is read again", async () => {
  const memory = new MemoryIptables();
  const store = filled(3);
  const { applied } = await start(memory, store);
  memory.failures.push({ code: 4, stdout: "", stderr: "Another app is currently holding the xtables lock" });
  put(store, "EndpointSlice", makeSlice("s0", ["10.244.0.50"]), "2");
  await expect.poll(() => applied.length).toBe(2);
  // somebody took the table away: what a change refers to is not there
  memory.flush("4", "nat");
  put(store, "Service", makeService("s9", { clusterIP: "10.96.0.10" }), "3");
  put(store, "EndpointSlice", makeSlice("s9", ["10.244.0.9"]), "3");
  await expect
    .poll(async () => (await nat(memory)).includes("10.244.0.50:8080") && (await nat(memory)).includes("-j FAIRWAY-SERVICES"))
    .toBe(true);
});

test("the canaries are looked for, and what was flushed is put back", async () => {
  const memory = new MemoryIptables();
  await start(memory, filled(3), 5);
  const before = await nat(memory);
  memory.flush("4", "filter");
  await expect.poll(() => nat(memory)).toBe(before);
});

test("a start over the same rules changes nothing", async () => {
  const memory = new MemoryIptables();
  const store = filled(5);
  const first = await start(memory, store);
  await first.proxier.close();
  const second = await start(memory, store);
  expect(second.applied).toEqual([]);
});

const rulesOf = (store: SnapshotStore): readonly string[] =>
  compileOffline(store.current, { nodeName: "n", backend: "iptables", families: [4] }).iptables.flatMap((p) =>
    [...p.chains].flatMap(([id, rules]) => rules.map((rule) => `${id} ${printRule(4, rule)}`)),
  );

test.each([
  [1, 1, 3 + 1 + 1],
  [10, 1, 3 + 10 + 10],
  [10, 5, 3 + 10 + 50],
  [300, 2, 3 + 1 + 300 + 600],
])("%d Services × %d endpoints are so many rules of the nat table", (services, endpoints, want) => {
  const store = new SnapshotStore();
  fillStore(store, [
    makeNode("n", ["192.0.2.1"], []),
    ...Array.from({ length: services }, (_, i) => makeService(`s${i}`, { clusterIP: `10.96.${i >> 8}.${i & 255}` })),
    ...Array.from({ length: services }, (_, i) =>
      makeSlice(
        `s${i}`,
        Array.from({ length: endpoints }, (_, j) => `10.244.${i & 255}.${j + 1 + (i >> 8) * 10}`),
      ),
    ),
  ]);
  const fixed = 4 + 1; // masquerading, and the way to the node ports
  expect(rulesOf(store).filter((r) => r.startsWith("nat ")).length).toBe(want + fixed);
});

test("health check ports are let in while a Service has them", async () => {
  const memory = new MemoryIptables();
  const store = filled(2);
  const { applied } = await start(memory, store);
  const balanced = (i: number, port: number) =>
    makeService(`s${i}`, {
      type: "LoadBalancer",
      clusterIP: `10.96.0.${i + 1}`,
      externalTrafficPolicy: "Local",
      healthCheckNodePort: port,
    });
  const accepted = async (): Promise<readonly string[]> =>
    [...(await nat(memory)).matchAll(/--dport ([0-9]+) -j ACCEPT/g)].map((m) => m[1] ?? "");
  const change = async (work: () => void): Promise<void> => {
    const before = applied.length;
    work();
    await expect.poll(() => applied.length).toBe(before + 1);
  };
  expect(await accepted()).toEqual([]);
  await change(() => put(store, "Service", balanced(0, 32001), "2"));
  await change(() => put(store, "Service", balanced(1, 32400), "2"));
  expect(await accepted()).toEqual(["32001", "32400"]);
  expect(await nat(memory)).toContain("-A FAIRWAY-INPUT -p tcp -j FAIRWAY-HEALTH");
  await change(() => put(store, "Service", balanced(0, 32400), "3"));
  await change(() => store.apply("Service", "test/s1", undefined, "4"));
  expect(await accepted()).toEqual(["32400"]);
  await change(() => store.apply("Service", "test/s0", undefined, "5"));
  expect(await accepted()).toEqual([]);
  expect(await nat(memory)).not.toContain("FAIRWAY-HEALTH");
});

test("a new connection passes tens of rules, however many Services there are", () => {
  const count = 3000;
  const store = new SnapshotStore();
  // spread over a /16 and node ports, as an API server gives them out
  const ip = (i: number): string => `10.96.${(i * 83) & 255}.${(i * 7919) % 251}`;
  fillStore(store, [
    makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]),
    ...Array.from({ length: count }, (_, i) =>
      makeService(`s${i}`, {
        clusterIP: ip(i),
        ...(i < 1000 ? { type: "NodePort", ports: [{ port: 80, nodePort: 30000 + i * 2 }] } : {}),
      }),
    ),
    ...Array.from({ length: count }, (_, i) => makeSlice(`s${i}`, [`10.245.${i >> 8}.${i & 255}`])),
  ]);
  const [program] = compileOffline(store.current, { nodeName: "n", backend: "iptables", families: [4] }).iptables;
  if (program === undefined) throw new Error("no program");
  const set = ruleSetOf(program);
  const passed = (to: string, port: number): number => {
    const { passed: rules, endpoints } = executeRules(set, { from: "10.244.0.9", to, port, protocol: "tcp" }, ["192.0.2.1"]);
    expect(endpoints.length).toBe(1);
    return rules;
  };
  const all = Array.from({ length: 200 }, (_, n) => n * 15).flatMap((i) => [
    passed(ip(i), 80),
    ...(i < 1000 ? [passed("192.0.2.1", 30000 + i * 2)] : []),
  ]);
  expect(Math.max(...all)).toBeLessThan(80);
  expect(all.reduce((sum, n) => sum + n, 0) / all.length).toBeLessThan(45);
});

test("comments name the Service until there are a thousand endpoints", () => {
  const large = (n: number): SnapshotStore => {
    const store = filled(1);
    put(
      store,
      "EndpointSlice",
      makeSlice(
        "s0",
        Array.from({ length: n }, (_, i) => `10.245.${i >> 8}.${i & 255}`),
      ),
      "2",
    );
    return store;
  };
  expect(rulesOf(large(1000)).filter((r) => r.includes('--comment "test/s0"')).length).toBeGreaterThan(1000);
  expect(rulesOf(large(1001)).filter((r) => r.includes("--comment"))).toEqual([]);
});

/** How likely each endpoint is, by the shares of the rules that lead to it. */
function odds(rules: readonly string[], chain: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const walk = (name: string, chance: number): void => {
    let left = chance;
    for (const rule of rules) {
      if (!rule.startsWith(`nat ${name} `)) continue;
      const here = left * Number(/--probability (\S+)/.exec(rule)?.[1] ?? 1);
      left -= here;
      const to = /-j (\S+)(?: --to-destination (\S+))?$/.exec(rule);
      if (to?.[2] !== undefined) found.set(to[2], (found.get(to[2]) ?? 0) + here);
      else walk(to?.[1] ?? "", here);
    }
    expect(left).toBeCloseTo(0);
  };
  walk(chain, 1);
  return found;
}

test("a large pool is drawn in two steps: every endpoint is as likely, no list is long, one endpoint changed is few rules", async () => {
  const ips = (n: number): readonly string[] => Array.from({ length: n }, (_, i) => `10.245.${i >> 8}.${i & 255}`);
  const store = filled(1);
  put(store, "EndpointSlice", makeSlice("s0", ips(300)), "2");
  const rules = rulesOf(store);
  const first = /-d 10\.96\.0\.1\/32 .*-j (FAIRWAY-P-\S+)$/m.exec(rules.join("\n"))?.[1] ?? "";
  const chances = odds(rules, first);
  expect(chances.size).toBe(300);
  for (const chance of chances.values()) expect(chance * 300).toBeCloseTo(1, 4);
  const lists = Map.groupBy(
    rules.filter((r) => r.startsWith("nat FAIRWAY-G-") || r.startsWith(`nat ${first}`)),
    (r) => r.split(" ")[1],
  );
  expect(lists.size).toBe(33);
  for (const list of lists.values()) expect(list.length).toBeLessThanOrEqual(32);
  const { trace: ask } = compileOffline(store.current, { nodeName: "n", backend: "iptables" });
  expect(ask({ from: "10.244.0.9", to: "10.96.0.1", port: 80, protocol: "tcp" }).endpoints.length).toBe(300);

  const memory = new MemoryIptables();
  const { applied } = await start(memory, store);
  put(store, "EndpointSlice", makeSlice("s0", [...ips(299), "10.246.0.1"]), "3");
  await expect.poll(() => applied.length).toBe(2);
  expect(applied[1]).toBeLessThan(80);
  // smaller and larger, over every border: a new start has nothing to do
  for (const [i, size] of [64, 65, 256, 257, 1, 70].entries()) {
    put(store, "EndpointSlice", makeSlice("s0", ips(size)), String(10 + i));
    await expect.poll(() => applied.length).toBe(3 + i);
  }
  const { applied: again } = await start(memory, store);
  expect(again).toEqual([]);
});

test("an endpoint's share is by its weight", () => {
  const store = filled(0);
  const annotations = { "fairway.dev/weights": "10.244.0.1=3,10.244.0.2=1,10.244.0.3=4" };
  put(store, "Service", makeService("w", { clusterIP: "10.96.0.9" }, { metadata: { annotations } }), "2");
  put(store, "EndpointSlice", makeSlice("w", ["10.244.0.1", "10.244.0.2", "10.244.0.3"]), "2");
  const shares = rulesOf(store).flatMap(
    (r) => /(?:--probability (\S+) )?-j DNAT --to-destination (\S+)/.exec(r)?.slice(1, 3).join(" ") ?? [],
  );
  expect(shares).toEqual(["0.37500000000 10.244.0.1:8080", "0.20000000019 10.244.0.2:8080", " 10.244.0.3:8080"]);
});

test("a way of balancing that iptables has not is a Problem of the Service, once", () => {
  const store = filled(1);
  const annotations = { "fairway.dev/balance": "maglev" };
  const service = makeService("s0", { clusterIP: "10.96.0.1", externalIPs: ["198.51.100.1"] }, { metadata: { annotations } });
  put(store, "Service", service, "2");
  const { problems } = compileOffline(store.current, { nodeName: "n", backend: "iptables" });
  expect(problems.map((p) => [p.object.name, p.reason])).toEqual([["s0", "BalanceUnsupported"]]);
});

test.each([
  ["bridge", "cni0", "cni0", false],
  ["bridge", "cni0", "cni01", true],
  ["prefix", "veth", "veth7", false],
  ["prefix", "veth", "eth0", true],
] as const)("pods known by their %s %s: a packet by %s is masqueraded: %s", (kind, name, link, masquerade) => {
  const store = filled(1);
  const { trace: ask, iptables } = compileOffline(store.current, { nodeName: "n", backend: "iptables", localInterface: { kind, name } });
  expect(ask({ from: "10.9.9.9", to: "10.96.0.1", port: 80, protocol: "tcp", interface: link })).toMatchObject({
    verdict: "deliver",
    masquerade,
  });
  const off = iptables[0]?.chains.get("nat FAIRWAY-OFF-CLUSTER")?.map((rule) => printRule(4, rule));
  expect(off).toEqual([`-i ${kind === "prefix" ? `${name}+` : name} -j RETURN`, "-j MARK --set-xmark 0x4000/0x4000"]);
});

test.each([
  ["unset", undefined, "127.0.0.1", "deliver"],
  ["all of IPv4", [{ ip: "0.0.0.0", bits: 0, family: 4 }], "127.0.0.1", "deliver"],
  ["a range with loopback", [{ ip: "127.0.0.0", bits: 8, family: 4 }], "127.0.0.1", "deliver"],
  ["a range without", [{ ip: "192.0.2.0", bits: 24, family: 4 }], "127.0.0.1", "pass"],
  ["a range without: there they are", [{ ip: "192.0.2.0", bits: 24, family: 4 }], "192.0.2.1", "deliver"],
  ["primary", "primary", "127.0.0.1", "pass"],
] as const)("node ports on localhost, with nodePortAddresses %s", (_, nodePortAddresses, to, want) => {
  const store = filled(1);
  put(store, "Service", makeService("s0", { type: "NodePort", clusterIP: "10.96.0.1", ports: [{ port: 80, nodePort: 30080 }] }), "2");
  const ask = (localhostNodePorts: boolean): string =>
    compileOffline(store.current, { nodeName: "n", backend: "iptables", nodePortAddresses, localhostNodePorts }).trace({
      from: to,
      to,
      port: 30080,
      protocol: "tcp",
    }).verdict;
  expect(ask(true)).toBe(want);
  expect(ask(false)).toBe(to === "127.0.0.1" ? "pass" : want);
});
