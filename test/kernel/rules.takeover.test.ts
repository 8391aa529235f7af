import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createTextApplier } from "../../rules/apply/text-applier.ts";
import type { Proxier } from "../../rules/index.ts";
import { cleanUp } from "../../rules/sync/cleanup.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { kubeProxyIptables, kubeProxyNftables, othersChains } from "../support/kube-proxy-rules.ts";
import { nftIn } from "../support/nft-in.ts";
import { lacking } from "../support/requires.ts";
import { labAddresses, labPodCidrs, RulesLab } from "../support/rules-lab.ts";
import { fillStore, makeNode, makeService, makeSlice } from "../support/rules-objects.ts";
import { type KernelBackend, leftoversIn, type StartedRules, startRules } from "../support/rules-start.ts";

let lab: RulesLab;
let store: SnapshotStore;
const running: Proxier[] = [];
const lack = lacking("ip", "nft", "conntrack", "iptables");
beforeAll(async () => {
  if (lack === undefined) lab = await RulesLab.start("takeover");
});
afterAll(async () => {
  await lab?.close();
});
beforeEach((t) => t.skip(lack !== undefined, lack));
beforeEach(() => {
  store = new SnapshotStore();
  fillStore(store, [
    makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a),
    makeService("web", { clusterIP: left.ip, ports: [{ name: "t", port: 80, protocol: "TCP" }] }),
    makeSlice("web", [{ ip: labAddresses.a1[4], node: "a" }], { ports: [{ name: "t", protocol: "TCP", port: 8080 }] }),
  ]);
});
afterEach(async () => {
  for (const proxier of running.splice(0)) await proxier.close();
  if (lack !== undefined) return;
  for (const family of [4, 6] as const) {
    await createIptablesApplier("legacy", iptablesIn(lab.namespace("a"))).remove(family, AbortSignal.timeout(120_000));
  }
  for (const table of ["nat", "filter", "mangle"]) {
    for (const flag of ["-F", "-X"]) lab.run("a", "iptables-legacy", ["-w", "60", "-t", table, flag]);
  }
  lab.run("a", "nft", ["flush", "ruleset"]);
  lab.run("a", "conntrack", ["-F"]);
});

const left = { ip: "10.96.0.20", endpoint: `${labAddresses.a1[4]}:8080`, podRange: labPodCidrs.a[0] };
const web = { protocol: "tcp", host: left.ip, port: 80 } as const;

const feed = (program: string, args: readonly string[], input: string): void => {
  execFileSync("ip", ["netns", "exec", lab.namespace("a"), program, ...args], { input, stdio: ["pipe", "ignore", "pipe"] });
};
const saved = (make: "nft" | "legacy"): string => lab.run("a", `iptables-${make}-save`, []);
const leave = {
  "kube-proxy in iptables mode, nft make": () => feed("iptables-nft-restore", ["--noflush"], kubeProxyIptables(left)),
  "kube-proxy in iptables mode, legacy make": () => feed("iptables-legacy-restore", ["--noflush", "-w", "60"], kubeProxyIptables(left)),
  "kube-proxy in nftables mode": () => feed("nft", ["-f", "-"], kubeProxyNftables(left)),
} as const;
const isLeft = (): boolean => {
  const chains = /^:KUBE-(SERVICES|SVC|SEP|POSTROUTING|MARK-MASQ|FORWARD|PROXY)/m;
  return chains.test(saved("nft")) || chains.test(saved("legacy")) || lab.run("a", "nft", ["list", "tables"]).includes("kube-proxy");
};

/** A connection that is open throughout, and new ones without a pause; none may miss anything. */
async function whileServed(work: () => Promise<void>): Promise<void> {
  const held = await lab.agents.client.stream({ kind: "held", ...web });
  const fresh = await lab.agents.a2.stream({ kind: "fresh", ...web });
  let done: unknown;
  try {
    await work();
  } finally {
    // after the change, too
    await lab.agents.client.probe({ ...web, count: 5 });
    done = [await held.end(), await fresh.end()];
  }
  expect(done).toEqual([expect.objectContaining({ faults: [] }), expect.objectContaining({ faults: [] })]);
  for (const { answers } of done as readonly { readonly answers: number }[]) expect(answers).toBeGreaterThan(0);
}

const start = async (backend: KernelBackend): Promise<StartedRules> => {
  const started = await startRules(lab.namespace("a"), store, backend, { takeOver: true });
  running.push(started.proxier);
  return started;
};

describe.each([
  ["kube-proxy in iptables mode, nft make", "nftables"],
  ["kube-proxy in iptables mode, legacy make", "nftables"],
  ["kube-proxy in nftables mode", "nftables"],
  ["kube-proxy in iptables mode, nft make", "iptables-nft"],
  ["kube-proxy in iptables mode, legacy make", "iptables-legacy"],
  ["kube-proxy in nftables mode", "iptables-nft"],
] as const)("from %s to %s", (from, to) => {
  test("no connection misses anything; only what is kube-proxy's goes", async () => {
    leave[from]();
    feed("nft", ["-f", "-"], "table ip others { chain c { type filter hook input priority 0; }; }\n");
    expect(isLeft()).toBe(true);
    await whileServed(async () => {
      const { log } = await start(to);
      await expect.poll(isLeft, { timeout: 60_000, interval: 200 }).toBe(false);
      await expect.poll(() => log.filter((l) => l.startsWith("kube-proxy's ")).length, { timeout: 60_000 }).toBe(1);
    });
    const make = from.includes("legacy") ? "legacy" : "nft";
    if (from.includes("iptables")) for (const chain of othersChains) expect(saved(make)).toContain(`:${chain} `);
    expect(lab.run("a", "nft", ["list", "tables"])).toContain("table ip others");
  });
});

test("backends change at a restart: nftables, iptables in both makes and back, and no connection misses anything", async () => {
  const ours = (): Record<string, boolean> => ({
    nftables: lab.run("a", "nft", ["list", "tables"]).includes("table ip fairway"),
    "iptables-nft": saved("nft").includes("FAIRWAY"),
    "iptables-legacy": saved("legacy").includes("FAIRWAY"),
  });
  await (await start("nftables")).proxier.close();
  await whileServed(async () => {
    for (const backend of ["iptables-nft", "nftables", "iptables-legacy", "nftables"] as const) {
      const { proxier } = await start(backend);
      const only = { nftables: false, "iptables-nft": false, "iptables-legacy": false, [backend]: true };
      await expect.poll(ours, { timeout: 60_000, interval: 200 }).toEqual(only);
      await proxier.close();
    }
  });
});

test.each(["netlink", "command"] as const)("back to kube-proxy: while our table goes, by %s, its rules serve already", async (nftables) => {
  leave["kube-proxy in iptables mode, legacy make"]();
  const all = leftoversIn(lab.namespace("a"));
  const tables = nftables === "netlink" ? all.tables : () => createTextApplier(nftIn(lab.namespace("a")));
  await whileServed(async () => {
    for (let round = 0; round < 8; round++) {
      await (await startRules(lab.namespace("a"), store, "nftables")).proxier.close();
      const doors = {
        ...all,
        tables,
        nft: nftIn(lab.namespace("a")),
        removeServers: () => Promise.resolve(),
        removeCounters: () => undefined,
      };
      expect(await cleanUp("fairway", doors, AbortSignal.timeout(120_000))).toEqual([]);
      expect(lab.run("a", "nft", ["list", "tables"])).not.toContain("fairway");
    }
  });
  expect(isLeft()).toBe(true);
});

describe("cleanup", () => {
  const missing = (): Promise<never> => Promise.reject(new Error("ENOENT"));
  const ours = (): Record<string, boolean> => ({
    nftables: lab.run("a", "nft", ["list", "tables"]).includes("fairway"),
    "iptables-nft": saved("nft").includes("FAIRWAY") || lab.run("a", "ip6tables-nft-save", []).includes("FAIRWAY"),
    "iptables-legacy": saved("legacy").includes("FAIRWAY"),
  });

  test.each([
    { lacks: "nothing", doors: {}, stays: {}, told: [] },
    { lacks: "nft", doors: { nft: missing }, stays: {}, told: [] },
    {
      lacks: "iptables",
      doors: { iptables: missing },
      stays: { "iptables-legacy": true },
      told: ["legacy iptables has tables here, and its programs cannot be run: install the package iptables, be root, and clean up again"],
    },
  ])("where $lacks is not installed: what fairway made on every backend, and nothing else", async ({ doors, stays, told }) => {
    // each backend's rules as a process leaves them that was killed before it could take the others' away
    for (const backend of ["nftables", "iptables-nft"] as const) {
      await (await startRules(lab.namespace("a"), store, backend)).proxier.close();
    }
    feed(
      "iptables-legacy-restore",
      ["--noflush", "-w", "60"],
      "*nat\n:FAIRWAY-SERVICES - [0:0]\n-A PREROUTING -j FAIRWAY-SERVICES\nCOMMIT\n",
    );
    feed("iptables-nft-restore", ["--noflush"], kubeProxyIptables(left));
    feed("nft", ["-f", "-"], "table ip others { chain c { type filter hook input priority 0; }; }\n");
    expect(ours()).toEqual({ nftables: true, "iptables-nft": true, "iptables-legacy": true });
    const others = (): readonly string[] => [
      ...saved("nft")
        .split("\n")
        .filter((l) => /^(:|-A )/.test(l) && !l.includes("FAIRWAY")),
      lab.run("a", "nft", ["list", "table", "ip", "others"]),
    ];
    const before = others();
    const all = {
      ...leftoversIn(lab.namespace("a")),
      nft: nftIn(lab.namespace("a")),
      removeServers: () => Promise.resolve(),
      removeCounters: () => undefined,
    };
    expect(await cleanUp("fairway", { ...all, ...doors }, AbortSignal.timeout(120_000))).toEqual(told);
    expect(ours()).toEqual({ nftables: false, "iptables-nft": false, "iptables-legacy": false, ...stays });
    expect(others()).toEqual(before);
    expect(await cleanUp("fairway", all, AbortSignal.timeout(120_000))).toEqual([]);
    expect(ours()).toEqual({ nftables: false, "iptables-nft": false, "iptables-legacy": false });
  });
});
