import assert from "node:assert/strict";
import { type FlowEffort, sendFlows, startFlowLab } from "../support/flow-check.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { peculiarity, peerOptions, peerStore, readPeerGroups } from "../support/peer-flows.ts";
import { answerWithinMs } from "./lab.ts";
import { withServersIn } from "./servers.ts";

/** Endpoints take turns. */
const effort: FlowEffort = { tries: (n) => 2 * n, silenceMs: 1000, patienceMs: answerWithinMs, inTurns: true };

// where the peer's tables are beside the project
const groups = readPeerGroups();

const flowCase: GuestCase = {
  name: "ipvs: flows of kube-proxy's own tables",
  async run(signal) {
    const lab = await startFlowLab("flows", groups);
    try {
      const wrong: string[] = [];
      let sent = 0;
      await withServersIn(lab.node, "nft", signal, async (become) => {
        for (const group of groups) {
          const flows = group.flows.filter((f) => peculiarity("ipvs", group, f) === undefined);
          await become(peerStore(group).current, peerOptions(group));
          const done = await sendFlows(lab, flows, effort);
          wrong.push(...done.wrong.map((text) => `${group.id} ${text}`));
          sent += done.sent;
        }
      });
      assert.deepEqual(wrong, []);
      assert.ok(sent > 110, String(sent));
    } finally {
      await lab.close();
    }
  },
};

export const ipvsFlowCases: readonly GuestCase[] = groups.length === 0 ? [] : [flowCase];
