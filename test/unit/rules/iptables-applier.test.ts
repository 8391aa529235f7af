import { describe, expect, test } from "vitest";
import { isApplyError } from "../../../rules/apply/errors.ts";
import { createIptablesApplier } from "../../../rules/apply/iptables-applier.ts";
import { findIptablesMake } from "../../../rules/apply/iptables-make.ts";
import type { RunIptables } from "../../../src/kernel/iptables-command.ts";
import { iptablesApplierContract, misplacedRule } from "../../contract/iptables-applier.ts";
import { MemoryIptables } from "../../support/memory-iptables.ts";

describe.each(["legacy", "nft"] as const)("in memory, %s", (make) => {
  iptablesApplierContract(() => {
    const memory = new MemoryIptables();
    memory.refuses = (line) => line === misplacedRule;
    return { applier: createIptablesApplier(make, memory.run), flush: (table) => memory.flush("4", table) };
  });
});

const signal = AbortSignal.timeout(30_000);
const says =
  (stderr: string, code = 1): RunIptables =>
  () =>
    Promise.resolve({ code, stdout: "", stderr });

// what the programs of 1.8.9 say
test.each([
  [
    "no root",
    "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'\n\nPermission denied (you must be root)",
    "UNUSABLE",
  ],
  [
    "no root, nft",
    "iptables-nft-restore v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
    "UNUSABLE",
  ],
  [
    "no table",
    "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'\n\nTable does not exist (do you need to insmod?)",
    "UNUSABLE",
  ],
  [
    "no reason",
    "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'\n\nError occurred at line: 1",
    "UNUSABLE",
  ],
  [
    "a lock",
    "Another app is currently holding the xtables lock; still 9s 0us time ahead to have a chance to grab the lock...",
    "UNAVAILABLE",
  ],
  ["no memory", "iptables-restore: line 3 failed: Cannot allocate memory.", "UNAVAILABLE"],
] as const)("%s is %s", async (_, stderr, code) => {
  await expect(createIptablesApplier("legacy", says(stderr)).probe([4], signal)).rejects.toSatisfy(
    (e) => isApplyError(e) && e.code === code,
  );
});

test("programs that are not there are told with their package", async () => {
  const missing: RunIptables = () => Promise.reject(new Error("spawn ENOENT"));
  await expect(createIptablesApplier("nft", missing).probe([4], signal)).rejects.toThrow("install the package iptables");
  await expect(findIptablesMake([4], signal, missing)).rejects.toSatisfy((e) => isApplyError(e) && e.code === "UNUSABLE");
});

test.each([
  ["the kubelet's hint decides", { nft: ":KUBE-KUBELET-CANARY - [0:0]\n", legacy: "-A INPUT -j X\n".repeat(9) }, "nft_tables", "nft"],
  ["in the other make too", { nft: "-A INPUT -j X\n".repeat(9), legacy: ":KUBE-IPTABLES-HINT - [0:0]\n" }, "nf_tables", "legacy"],
  ["without one, more rules", { nft: "-A INPUT -j X\n", legacy: "-A INPUT -j X\n-A INPUT -j Y\n" }, "nf_tables", "legacy"],
  ["our own do not count", { nft: "-A A -j B\n", legacy: "-A FAIRWAY-X -j Y\n-A INPUT -j FAIRWAY-INPUT\n" }, "legacy", "nft"],
  ["none at all: as iptables is, nft", { nft: "", legacy: "" }, "iptables v1.8.9 (nf_tables)", "nft"],
  ["none at all: as iptables is, legacy", { nft: "", legacy: "" }, "iptables v1.8.9 (legacy)", "legacy"],
  ["one make only", { nft: undefined, legacy: "" }, "iptables v1.8.9 (nf_tables)", "legacy"],
] as const)(
  "which make: %s",
  async (_, saved: { readonly nft: string | undefined; readonly legacy: string | undefined }, version, want) => {
    const run: RunIptables = (program) => {
      if (program === "iptables") return Promise.resolve({ code: 0, stdout: version, stderr: "" });
      const text = program.includes("legacy") ? saved.legacy : saved.nft;
      return text === undefined ? Promise.reject(new Error("spawn ENOENT")) : Promise.resolve({ code: 0, stdout: text, stderr: "" });
    };
    expect((await findIptablesMake([4], signal, run)).make).toBe(want);
  },
);
