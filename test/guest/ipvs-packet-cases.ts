import assert from "node:assert/strict";
import type { RuleOptions } from "../../rules/index.ts";
import type { IptablesMake } from "../../src/kernel/iptables-command.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { matrixConfigs, matrixObjects } from "../contract/packet-matrix.ts";
import { type ConfigName, configs, packetObjects, packetTable, type Want } from "../contract/packets.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { sendableRows } from "../support/matrix-check.ts";
import { disagreement, type Effort, isHashed, sentAndSeen } from "../support/packet-check.ts";
import type { RulesLab } from "../support/rules-lab.ts";
import { fillStore } from "../support/rules-objects.ts";
import { sharedLab } from "./lab.ts";
import { withServersIn } from "./servers.ts";

/** Endpoints take turns: few tries show all of them, if nobody else asks at the same time. */
const effort: Effort = { tries: [2, 4, 8], silenceMs: 1500 };
/** By a hash of its address and port, a connection's endpoint is as good as drawn. */
const drawnEffort: Effort = { ...effort, tries: [2, 24, 48] };
const configNames: readonly ConfigName[] = ["default", "masqueradeAll", "allNodePortAddresses", "noDetector", "twoNodePortAddresses"];

/** Makes the virtual servers of node `a` for as long as the work takes. */
async function withServers(
  objects: ReturnType<typeof packetObjects>,
  options: Omit<RuleOptions, "nodeName">,
  make: IptablesMake,
  signal: AbortSignal,
  work: (lab: RulesLab) => Promise<void>,
): Promise<void> {
  const lab = await sharedLab();
  const store = new SnapshotStore();
  fillStore(store, objects);
  await withServersIn(lab.namespace("a"), make, signal, async (become) => {
    await become(store.current, { nodePortAddresses: "primary", ...options, nodeName: "a" });
    await work(lab);
  });
}

/** Silence is waited for all at once; the others come one after the other, for endpoints take turns. */
async function inTurns<T extends { readonly want: Want }>(cases: readonly T[], check: (c: T) => Promise<void>): Promise<void> {
  const silent = cases.filter(({ want }) => want.verdict === "drop" || want.verdict === "pass");
  await Promise.all([
    ...silent.map(check),
    (async () => {
      for (const c of cases) if (!silent.includes(c)) await check(c);
    })(),
  ]);
}

/** The packet table, by virtual servers in node `a`. */
const tableCases: readonly GuestCase[] = configNames.map((config, n) => ({
  name: `ipvs, ${config}: packets fare as the table says`,
  run: (signal) =>
    withServers(packetObjects(), configs[config], n % 2 === 0 ? "nft" : "legacy", signal, async (lab) => {
      const cases = packetTable.filter((c) => (c.config ?? "default") === config);
      const wrong: string[] = [];
      let checked = 0;
      for (const family of [4, 6] as const) {
        for (const protocol of ["tcp", "udp"] as const) {
          await inTurns(cases, async (c) => {
            const problem = await disagreement(lab, c, family, protocol, isHashed(c) ? drawnEffort : effort);
            checked++;
            if (problem !== undefined) wrong.push(`IPv${family} ${protocol}, ${c.name}: ${problem}`);
          });
        }
      }
      assert.deepEqual(wrong, []);
      assert.equal(checked, cases.length * 4);
    }),
}));

/** Some of the matrix: other rows in each configuration. */
const every = 61;
const matrixCases: readonly GuestCase[] = (["nodeCidr", "bridge"] as const).map((config, n) => ({
  name: `ipvs, ${config}: some rows of the matrix`,
  run: (signal) =>
    withServers(matrixObjects(), matrixConfigs[config], n % 2 === 0 ? "legacy" : "nft", signal, async (lab) => {
      const rows = sendableRows(config).filter((_, i) => i % every === n * 30);
      const wrong: string[] = [];
      await inTurns(
        rows.map(({ name, sent }) => ({ name, sent, want: sent.want })),
        async ({ name, sent }) => {
          const problem = await sentAndSeen(lab, sent, effort);
          if (problem !== undefined) wrong.push(`${name}: ${problem}`);
        },
      );
      assert.deepEqual(wrong, []);
      assert.ok(rows.length > 30);
    }),
}));

export const ipvsPacketCases: readonly GuestCase[] = [...tableCases, ...matrixCases];
