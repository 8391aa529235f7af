import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { packetObjects } from "../contract/packets.ts";
import { applyRules, kernelBackends } from "../support/node-rules.ts";
import { lacking } from "../support/requires.ts";
import { labAddresses, RulesLab } from "../support/rules-lab.ts";
import { fillStore } from "../support/rules-objects.ts";

/** Where this node's DNS answers: addresses of its own, on lo. */
const dns = { 4: "10.96.0.10", 6: "fd96::a" } as const;
const port = 53;

let lab: RulesLab;
const lack = lacking("ip", "nft", "conntrack", "iptables");
beforeAll(async () => {
  if (lack !== undefined) return;
  lab = await RulesLab.start("untracked");
  lab.run("a", "ip", ["address", "add", `${dns[4]}/32`, "dev", "lo", "scope", "host"]);
  lab.run("a", "ip", ["address", "add", `${dns[6]}/128`, "dev", "lo", "nodad"]);
  for (const host of Object.values(dns)) await lab.agents.a.ask({ do: "serve", name: "dns", host, port });
});
afterAll(async () => {
  await lab?.close();
});
beforeEach((t) => t.skip(lack !== undefined, lack));

const store = new SnapshotStore();
fillStore(store, packetObjects());

test.each(kernelBackends)("%s: what goes to this node's DNS is answered and never tracked, all else is", async (backend) => {
  const options = { nodeName: "a", localDnsIps: Object.values(dns), podCidrs: [] };
  const rules = await applyRules(lab.namespace("a"), backend, store.current, options);
  try {
    for (const family of [4, 6] as const) {
      for (const protocol of ["udp", "tcp"] as const) {
        // a pod of this node, the node itself, and another node
        for (const from of ["a1", "a", "b"] as const) {
          const said = await lab.agents[from].probe({ protocol, host: dns[family], port });
          expect([from, protocol, said.map((s) => s.split(" ")[0])]).toEqual([from, protocol, ["dns"]]);
        }
        const other = await lab.agents.a1.probe({ protocol, host: labAddresses.b1[family], port: 8080 });
        expect(other.map((s) => s.split(" ")[0])).toEqual(["b1"]);
      }
      const flows = lab.run("a", "conntrack", ["-L", "-f", family === 4 ? "ipv4" : "ipv6"]).split("\n");
      expect(flows.filter((f) => f.includes(`=${dns[family]} `))).toEqual([]);
      expect(flows.filter((f) => f.includes(`dst=${labAddresses.b1[family]} `)).length).toBeGreaterThanOrEqual(2);
    }
  } finally {
    await rules.remove();
  }
});
