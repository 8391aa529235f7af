import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { matrixConfigNames, matrixConfigs, matrixObjects } from "../contract/packet-matrix.ts";
import { sendFlows, startFlowLab } from "../support/flow-check.ts";
import { sendableRows } from "../support/matrix-check.ts";
import { applyRules, kernelBackends } from "../support/node-rules.ts";
import { sentAndSeen } from "../support/packet-check.ts";
import { peculiarity, peerOptions, peerStore, readPeerGroups } from "../support/peer-flows.ts";
import { lacking } from "../support/requires.ts";
import { RulesLab } from "../support/rules-lab.ts";
import { fillStore } from "../support/rules-objects.ts";

const lack = lacking("ip", "nft", "conntrack", "iptables");
beforeEach((t) => t.skip(lack !== undefined, lack));

describe("the matrix", () => {
  let lab: RulesLab;
  beforeAll(async () => {
    if (lack === undefined) lab = await RulesLab.start("matrix");
  });
  afterAll(async () => {
    await lab?.close();
  });
  const store = new SnapshotStore();
  fillStore(store, matrixObjects());

  /** One row of so many, for each backend and configuration others: all of them together meet most of the matrix. */
  const every = 17;
  const parts = kernelBackends.flatMap((backend) => matrixConfigNames.map((config) => [backend, config] as const));
  test.each(parts.map(([backend, config], part) => [backend, config, part] as const))("kernel, %s, %s", async (backend, config, part) => {
    const rows = sendableRows(config).filter((_, i) => i % every === part % every);
    const rules = await applyRules(lab.namespace("a"), backend, store.current, {
      ...matrixConfigs[config],
      nodePortAddresses: "primary",
      nodeName: "a",
    });
    try {
      const wrong = await Promise.all(
        rows.map(async ({ name, sent }) => {
          const problem = await sentAndSeen(lab, sent);
          return problem === undefined ? [] : [`${name}: ${problem}`];
        }),
      );
      expect(wrong.flat()).toEqual([]);
      expect(new Set(rows.map((r) => r.sent.want.verdict))).toEqual(new Set(["deliver", "reject", "drop"]));
    } finally {
      await rules.remove();
    }
  });
});

// where the peer's tables are beside the project
const groups = readPeerGroups();
for (const backend of groups.length === 0 ? [] : kernelBackends) {
  test(`kernel, ${backend}: flows of kube-proxy's own tables`, async () => {
    const lab = await startFlowLab(`flows-${backend}`, groups);
    try {
      const wrong: string[] = [];
      let sent = 0;
      for (const group of groups) {
        const flows = group.flows.filter((f) => peculiarity(backend === "nftables" ? "nftables" : "iptables", group, f) === undefined);
        const rules = await applyRules(lab.node, backend, peerStore(group).current, peerOptions(group));
        try {
          const done = await sendFlows(lab, flows);
          wrong.push(...done.wrong.map((text) => `${group.id} ${text}`));
          sent += done.sent;
        } finally {
          await rules.remove();
        }
      }
      expect(wrong).toEqual([]);
      expect(sent).toBeGreaterThan(110);
    } finally {
      await lab.close();
    }
  });
}
