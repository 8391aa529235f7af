import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { matrixConfigNames, matrixConfigs, matrixObjects } from "../contract/packet-matrix.ts";
import { FlowLab } from "../support/flow-lab.ts";
import { sendableRows } from "../support/matrix-check.ts";
import { applyRules, kernelBackends } from "../support/node-rules.ts";
import { sentAndSeen } from "../support/packet-check.ts";
import { type PeerFlow, peculiarity, peerOptions, peerStore, readPeerGroups } from "../support/peer-flows.ts";
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
const peerFlows = groups.flatMap((g) => g.flows);
const nodeIps = [...new Set(groups.flatMap((g) => g.nodeIPs))];
const senders = [...new Set(peerFlows.map((f) => f.from))].filter((from) => !peerFlows.some((f) => f.to === from));
for (const backend of groups.length === 0 ? [] : kernelBackends) {
  test(`kernel, ${backend}: flows of kube-proxy's own tables`, async () => {
    const endpoints = ["10.180.0.0/16", "10.0.1.0/24", "fd00:10:180::/48"];
    const lab = await FlowLab.start(`flows-${backend}`, { nodeIps, endpoints, port: 80, senders });
    try {
      const wrong: string[] = [];
      let checked = 0;
      for (const group of groups) {
        const flows = group.flows.filter((f) => peculiarity(backend === "nftables" ? "nftables" : "iptables", group, f) === undefined);
        const rules = await applyRules(lab.node, backend, peerStore(group).current, peerOptions(group));
        const check = async (flow: PeerFlow): Promise<void> => {
          const problem = await disagreement(lab, flow);
          checked++;
          if (problem !== undefined) wrong.push(`${group.id} ${JSON.stringify(flow)}: ${problem}`);
        };
        try {
          await Promise.all(flows.filter((f) => lab.sends(f.from)).map(check));
          // a node that has the load balancer's address itself
          for (const flow of flows) if (flow.from === flow.to && !lab.sends(flow.from)) await lab.withAddress(flow.from, () => check(flow));
        } finally {
          await rules.remove();
        }
      }
      expect(wrong).toEqual([]);
      expect(checked).toBeGreaterThan(110);
    } finally {
      await lab.close();
    }
  });
}

async function disagreement(lab: FlowLab, flow: PeerFlow): Promise<string | undefined> {
  const delivered = flow.want === "deliver" && !flow.endpoints.includes("ACCEPT");
  const said = await lab.probe(flow, delivered ? 8 * flow.endpoints.length ** 2 : 1, delivered || flow.want === "reject" ? 15_000 : 400);
  if (!delivered) {
    if (flow.want === "reject" || flow.want === "drop")
      return said.every((s) => s === flow.want || lab.isNode(flow.from)) ? undefined : `got ${said.join(", ")}`;
    // nothing of the rules: the node's own business
    return said.some((s) => s.includes(" ")) ? `was served: ${said.join(", ")}` : undefined;
  }
  const served = new Set<string>();
  for (const line of said) {
    const [endpoint = "", source = ""] = line.split(" ");
    served.add(endpoint);
    const masqueraded = lab.nodeAddresses.includes(source);
    if (masqueraded !== (flow.masquerade || lab.isNode(flow.from))) return `${endpoint} saw ${source}`;
  }
  const wanted = flow.endpoints.map((text) => text.replace(/^\[|\]?:80$/g, ""));
  return [...served].sort().join() === [...wanted].sort().join() ? undefined : `got ${[...served].join(", ")}`;
}
