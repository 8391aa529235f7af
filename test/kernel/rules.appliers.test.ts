import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RuleApplier } from "../../rules/apply/applier.ts";
import { isApplyError } from "../../rules/apply/errors.ts";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import { createTextApplier } from "../../rules/apply/text-applier.ts";
import { compileOffline } from "../../rules/index.ts";
import { emptyRuleset, type Ruleset, tableOf } from "../../rules/nftables/ruleset.ts";
import { defaultSkeletonOptions, type SkeletonOptions, skeletonSets } from "../../rules/nftables/skeleton.ts";
import { type Element, elementId } from "../../rules/nftables/statement.ts";
import { diffFromElements, diffFromNothing, diffRulesets } from "../../rules/nftables/transaction.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { NftNetlink } from "../../src/kernel/nft-netlink.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { packetObjects } from "../contract/packets.ts";
import { inNetns } from "../support/in-netns.ts";
import { nftIn } from "../support/nft-in.ts";
import { lacking } from "../support/requires.ts";
import { fillStore, makeSlice, put } from "../support/rules-objects.ts";

const namespace = `fwt-appliers-${process.pid}`;
const signal = AbortSignal.timeout(240_000);
const lack = lacking("ip", "nft");
beforeAll(() => {
  if (lack === undefined) execFileSync("ip", ["netns", "add", namespace]);
});
afterAll(() => {
  if (lack === undefined) execFileSync("ip", ["netns", "del", namespace]);
});
beforeEach((t) => t.skip(lack !== undefined, lack));
const nft = (...args: readonly string[]): string =>
  execFileSync("ip", ["netns", "exec", namespace, "nft", ...args], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    stdio: ["ignore", "pipe", "pipe"],
  });

const store = new SnapshotStore();
fillStore(store, packetObjects());
const compile = (): readonly Ruleset[] =>
  compileOffline(store.current, { nodeName: "a", backend: "nftables", localDnsIps: ["10.96.0.10"] }).program;
const sorted = (elements: readonly Element[]): readonly string[] =>
  elements.map((e) => `${elementId(e)} : ${e.value?.join(" ") ?? ""}`).sort();

const appliers: readonly (readonly [string, () => RuleApplier])[] = [
  ["netlink", () => inNetns(namespace, () => createNetlinkApplier(nftIn(namespace)))],
  ["command", () => createTextApplier(nftIn(namespace))],
];

describe.each(appliers)("%s applier", (_, create) => {
  const table = "fairway";
  const load = async (applier: RuleApplier): Promise<readonly Ruleset[]> => {
    const program = compile();
    await applier.apply(program.map(diffFromNothing), signal);
    return program;
  };
  const use = async (work: (applier: RuleApplier) => Promise<void>): Promise<void> => {
    const applier = create();
    try {
      for (const family of [4, 6] as const) await applier.remove(family, table, signal);
      await work(applier);
    } finally {
      await applier.close();
    }
  };

  test("any table is found and removed by its name, one of another program too, in its own family only", () =>
    use(async (applier) => {
      for (const family of ["ip", "ip6"]) nft("add", "table", family, "kube-proxy");
      const has = (): Promise<readonly boolean[]> => Promise.all(([4, 6] as const).map((f) => applier.has(f, "kube-proxy", signal)));
      expect(await has()).toEqual([true, true]);
      await applier.remove(6, "kube-proxy", signal);
      expect(await has()).toEqual([true, false]);
      await applier.remove(6, "kube-proxy", signal);
      await applier.remove(4, "kube-proxy", signal);
      expect(await has()).toEqual([false, false]);
    }));

  test("what is applied is read back, both families, every kind of element", () =>
    use(async (applier) => {
      for (const ruleset of await load(applier)) {
        const found = await applier.read(ruleset.family, table, signal);
        expect(sorted(found?.elements ?? [])).toEqual(sorted(tableOf(ruleset).elements));
        expect(found?.version).toBeUndefined();
      }
      expect(nft("list", "table", "ip", table)).toContain("chain services");
      expect(nft("list", "table", "ip6", table)).toContain("chain services");
    }));

  test("a table that is not there is undefined; removing it is no error", () =>
    use(async (applier) => {
      expect(await applier.read(4, table, signal)).toBeUndefined();
      await applier.remove(4, table, signal);
    }));

  test("a change is applied by difference, and in place where the table stands", () =>
    use(async (applier) => {
      const before = await load(applier);
      const changed = new SnapshotStore();
      fillStore(changed, packetObjects());
      put(changed, "EndpointSlice", makeSlice("plain", ["10.244.9.9"], { ports: [{ name: "t", protocol: "TCP", port: 8080 }] }));
      const after = compileOffline(changed.current, { nodeName: "a", backend: "nftables", localDnsIps: ["10.96.0.10"] }).program;
      await applier.apply(
        before.map((r, i) => diffRulesets(r, after[i] ?? r)),
        signal,
      );
      for (const ruleset of after) {
        const found = await applier.read(ruleset.family, table, signal);
        expect(diffFromElements(found?.elements ?? [], ruleset).groups).toEqual([]);
      }
      // a skeleton that cannot be extended replaces the whole table at once
      const other = compileOffline(changed.current, { nodeName: "a", backend: "nftables", masqueradeAll: true }).program;
      await applier.apply(
        after.map((r, i) => diffRulesets(r, other[i] ?? r)),
        signal,
      );
      for (const ruleset of other) {
        const found = await applier.read(ruleset.family, table, signal);
        expect(sorted(found?.elements ?? [])).toEqual(sorted(tableOf(ruleset).elements));
      }
    }));

  test("a refused element fails the whole transaction and changes nothing", () =>
    use(async (applier) => {
      await load(applier);
      const before = await applier.read(4, table, signal);
      const group = (owner: string, adds: readonly Element[]) => ({ owner, deletes: [], adds });
      const good = group("good", [{ set: "cluster-ips", key: ["10.96.9.9"] }]);
      const bad = group("bad", [{ set: "pools", key: [0xa5ffff01], value: ["no-such-chain"] }]);
      const failure: unknown = await applier.apply([{ family: 4, table, groups: [good, bad] }], signal).then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(isApplyError(failure)).toBe(true);
      const after = await applier.read(4, table, signal);
      expect(after).toEqual(before);
    }));

  test("deleting what is not there says that the tables diverged", () =>
    use(async (applier) => {
      await load(applier);
      const groups = [{ owner: "x", deletes: [{ set: "cluster-ips", key: ["10.96.99.99"] }], adds: [] }];
      await expect(applier.apply([{ family: 4, table, groups }], signal)).rejects.toMatchObject({ code: "DIVERGED" });
    }));

  test("the fingerprint tells a foreign rule", () =>
    use(async (applier) => {
      await load(applier);
      const before = await applier.fingerprint(4, table, signal);
      expect((await applier.read(4, table, signal))?.fingerprint).toBe(before);
      expect(await applier.fingerprint(4, table, signal)).toBe(before);
      nft("insert", "rule", "ip", table, "services", "accept");
      expect(await applier.fingerprint(4, table, signal)).not.toBe(before);
    }));
});

describe("netlink: chains that a table gets later", () => {
  const base: Partial<SkeletonOptions> = { largestClass: 2, affinityTimeouts: [10_800] };
  const more: Partial<SkeletonOptions> = {
    largestClass: 12,
    affinityTimeouts: [10_800, 60, 5_000_000],
    hashes: [
      { of: "source", size: 251 },
      { of: "flow", size: 251 },
    ],
  };
  const empty = (family: IpFamily, table: string, options: Partial<SkeletonOptions>): Ruleset =>
    emptyRuleset(family, table, { ...defaultSkeletonOptions, ...options });
  /** What the kernel has of each chain, as the expressions it runs. */
  const expressions = (family: IpFamily, table: string): ReadonlyMap<string, string> => {
    const listed = nft("--debug=netlink", "list", "table", family === 4 ? "ip" : "ip6", table);
    const chains = new Map<string, string>();
    for (const rule of listed.split("\n\n")) {
      const [, chain = "", text = ""] = /^ip6? \S+ (\S+)(?: \d+)*\s*\n((?: {2}\[.*\n?)+)/m.exec(rule) ?? [];
      if (chain !== "") chains.set(chain, `${chains.get(chain) ?? ""}${text}\n`);
    }
    return chains;
  };

  test.each([
    ["pods known by range", {}],
    ["pods known by a bridge", { localInterface: { kind: "bridge", name: "cni0" } }],
    ["pods known by links", { localInterface: { kind: "prefix", name: "veth" } }],
    ["masqueradeAll", { masqueradeAll: true, masqueradeMark: 0x200 }],
  ] as const)("are those that the nft command makes: %s", async (_, options) => {
    const commands: string[] = [];
    const run = nftIn(namespace);
    const netlink = inNetns(namespace, () =>
      createNetlinkApplier((args, stdin, at) => {
        commands.push(stdin);
        return run(args, stdin, at);
      }),
    );
    const command = createTextApplier(run);
    try {
      const families = [4, 6] as const;
      await command.apply(
        families.map((family) => diffFromNothing(empty(family, "by-command", { ...options, ...more }))),
        signal,
      );
      await netlink.apply(
        families.map((family) => diffFromNothing(empty(family, "by-netlink", { ...options, ...base }))),
        signal,
      );
      const before = commands.length;
      const extensions = families.map((family) =>
        diffRulesets(empty(family, "by-netlink", { ...options, ...base }), empty(family, "by-netlink", { ...options, ...more })),
      );
      await netlink.apply(extensions, signal);
      expect(commands.length).toBe(before);
      for (const family of families) {
        const [made, wanted] = [expressions(family, "by-netlink"), expressions(family, "by-command")];
        expect(made.size).toBeGreaterThan(200);
        expect([...made.keys()].sort()).toEqual([...wanted.keys()].sort());
        for (const [chain, text] of wanted) expect(made.get(chain), chain).toBe(text);
        const [one, other] = [await netlink.read(family, "by-netlink", signal), await netlink.read(family, "by-command", signal)];
        expect(sorted(one?.elements ?? [])).toEqual(sorted(other?.elements ?? []));
      }
      // they cannot come twice: the table is to be read again
      await expect(netlink.apply(extensions, signal)).rejects.toMatchObject({ code: "DIVERGED" });
    } finally {
      for (const family of [4, 6] as const) for (const table of ["by-command", "by-netlink"]) await netlink.remove(family, table, signal);
      await netlink.close();
    }
  });
});

test("netlink: a small change takes a small buffer", () => {
  const nft = inNetns(namespace, () => new NftNetlink());
  try {
    const [set] = skeletonSets(4);
    const elements = [1, 2, 3].map((i): Element => ({ set: "service-ips", key: [`10.0.0.${i}`, "tcp", 80], value: [1] }));
    const runs = set === undefined ? [] : [{ family: 4, table: "fairway", set, verb: "add", elements } as const];
    const written = Array.from({ length: 8 }, () => nft.write(runs).bytes);
    expect(written[0]?.length).toBeGreaterThan(100);
    // a part of Node's pool: many of their own, outside of the heap, would have the heap collected
    expect(new Set(written.map((bytes) => bytes.buffer)).size).toBeLessThanOrEqual(2);
  } finally {
    nft.close();
  }
});

test("netlink: foreign changes of our table are noticed, our own are not", async () => {
  const applier = inNetns(namespace, () => createNetlinkApplier(nftIn(namespace)));
  const seen: (string | undefined)[] = [];
  const stop = applier.watch((change) => seen.push(change.table));
  try {
    const program = compile();
    await applier.apply(program.map(diffFromNothing), signal);
    await applier.apply(
      [{ family: 4, table: "fairway", groups: [{ owner: "x", deletes: [], adds: [{ set: "cluster-ips", key: ["10.96.9.9"] }] }] }],
      signal,
    );
    expect(seen).toEqual([]);
    const commits = applier.foreignCommits();
    await applier.apply(program.map(diffFromNothing), signal);
    expect(applier.foreignCommits()).toBe(commits);
    nft("add", "table", "ip", "other");
    nft("delete", "element", "ip", "fairway", "cluster-ips", "{ 10.96.0.16 }");
    await expect.poll(() => seen).toContain("fairway");
    expect(seen).not.toContain(undefined);
    expect(applier.foreignCommits()).not.toBe(commits);
  } finally {
    stop();
    await applier.close();
    nft("flush", "ruleset");
  }
});

// the kernel's table grows in the background meanwhile: a dump then tells elements twice and leaves as many out
test("netlink: right after many elements came, all of them are read, each once", () => {
  const set = skeletonSets(4).find((s) => s.name === "service-ips");
  if (set === undefined) throw new Error("no such set");
  const made = "{ typeof ip daddr . meta l4proto . th dport : meta mark; }";
  const elements = Array.from(
    { length: 40_000 },
    (_, i): Element => ({ set: set.name, key: [`10.9.${i >> 8}.${i & 255}`, "tcp", 80], value: [i] }),
  );
  const netlink = inNetns(namespace, () => new NftNetlink());
  try {
    for (const name of ["large-1", "large-2", "large-3"]) {
      nft("add", "table", "ip", name);
      nft("add", "map", "ip", name, set.name, made);
      netlink.commit(netlink.write([{ family: 4, table: name, set, verb: "add", elements }]));
      const found = netlink.elements(4, name, set);
      expect(found).toHaveLength(elements.length);
      expect(new Set(found.map((e) => e.key[0])).size).toBe(elements.length);
      nft("delete", "table", "ip", name);
    }
  } finally {
    netlink.close();
  }
});
