import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import { compileOffline } from "../../rules/index.ts";
import { diffFromNothing } from "../../rules/nftables/transaction.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { type ConfigName, configs, type PacketCase, packetObjects, packetTable, targetAddress } from "../contract/packets.ts";
import { inNetns } from "../support/in-netns.ts";
import { nftIn } from "../support/nft-in.ts";
import { lacking } from "../support/requires.ts";
import { labAddresses, RulesLab } from "../support/rules-lab.ts";
import { fillStore } from "../support/rules-objects.ts";

let lab: RulesLab;
const lack = lacking("ip", "nft", "conntrack");
beforeAll(async () => {
  if (lack === undefined) lab = await RulesLab.start("packets");
});
afterAll(async () => {
  await lab?.close();
});
beforeEach((t) => t.skip(lack !== undefined, lack));

const store = new SnapshotStore();
fillStore(store, packetObjects());
const nodeAddresses: readonly string[] = [...Object.values(labAddresses.a), ...Object.values(labAddresses.aSecond)];

/** What is wrong with what the kernel did, or nothing. */
async function disagreement(c: PacketCase, family: IpFamily, protocol: "tcp" | "udp"): Promise<string | undefined> {
  const { from, want } = c;
  const target = targetAddress(c.to, family);
  const agent = lab.agents[from === "client2" ? "client" : from];
  const sticky = JSON.stringify(c.to).includes("sticky");
  const said = await agent.probe({
    protocol,
    host: target.ip,
    port: target.port,
    // the chance that one of four endpoints is never drawn in 48 tries is 4 in a million
    count: want.verdict === "deliver" ? (want.endpoints.length === 1 ? 4 : want.endpoints.length === 2 ? 24 : 48) : 1,
    ...(from === "client2" || from === "client" || from === "a" ? { localAddress: labAddresses[from][family] } : {}),
    // only where nothing is to come is it short
    timeoutMs: want.verdict === "deliver" || (want.verdict === "reject" && from !== "a") ? 15_000 : 400,
  });
  if (want.verdict === "pass") return said.some((s) => /^[ab][12] /.test(s)) ? `was served: ${said.join(", ")}` : undefined;
  if (want.verdict !== "deliver") {
    // a packet refused in the node's own output hook fails at once, whichever the verdict
    const wanted = from === "a" ? ["reject", "drop", "eperm"] : [want.verdict];
    return said.every((s) => wanted.includes(s)) ? undefined : `got ${said.join(", ")}`;
  }
  const served = new Set<string>();
  for (const line of said) {
    const [pod = "", source = ""] = line.split(" ");
    if (!(want.endpoints as readonly string[]).includes(pod)) return `got ${line}`;
    served.add(pod);
    const masqueraded = nodeAddresses.includes(source);
    const hairpin = pod === from;
    const selfAmong = (want.endpoints as readonly string[]).includes(from);
    if (hairpin ? !masqueraded : !selfAmong && masqueraded !== (want.masquerade || from === "a")) return `${pod} saw ${source}`;
    if (!masqueraded && source !== labAddresses[from][family]) return `${pod} saw ${source}`;
  }
  if (sticky) return served.size === 1 ? undefined : `one client, several endpoints: ${[...served].join(", ")}`;
  return served.size === want.endpoints.length ? undefined : `only ${[...served].join(", ")} of ${want.endpoints.join(", ")}`;
}

describe.each(["default", "masqueradeAll", "allNodePortAddresses", "noDetector", "twoNodePortAddresses"] as const)(
  "kernel, %s",
  (config: ConfigName) => {
    test("packets fare as the table says", async () => {
      const { program } = compileOffline(store.current, { ...configs[config], nodeName: "a", backend: "nftables" });
      const applier = inNetns(lab.namespace("a"), () => createNetlinkApplier(nftIn(lab.namespace("a"))));
      try {
        await applier.apply(program.map(diffFromNothing), AbortSignal.timeout(120_000));
      } finally {
        await applier.close();
      }
      const cases = packetTable.filter((c) => (c.config ?? "default") === config);
      const wrong: string[] = [];
      let checked = 0;
      for (const family of [4, 6] as const) {
        for (const protocol of ["tcp", "udp"] as const) {
          await Promise.all(
            cases.map(async (c) => {
              const problem = await disagreement(c, family, protocol);
              checked++;
              if (problem !== undefined) wrong.push(`IPv${family} ${protocol}, ${c.name}: ${problem}`);
            }),
          );
        }
      }
      expect(wrong).toEqual([]);
      expect(checked).toBe(cases.length * 4);
    });
  },
);
