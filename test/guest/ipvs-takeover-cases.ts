import assert from "node:assert/strict";
import type { GuestCase } from "../support/guest-case.ts";
import { labAddresses, type RulesLab, type Traffic } from "../support/rules-lab.ts";
import { type KernelBackend, startRules } from "../support/rules-start.ts";
import { type Life, live, vip } from "./ipvs-life-cases.ts";
import { eventually } from "./lab.ts";

const web = { protocol: "tcp", host: vip, port: 80 } as const;

/** New connections without a pause; none may fail. */
async function whileServed(lab: RulesLab, work: () => Promise<void>): Promise<void> {
  const fresh = await lab.agents.a2.stream({ kind: "fresh", ...web });
  let traffic: Traffic | undefined;
  try {
    await work();
  } finally {
    traffic = await fresh.end();
  }
  assert.deepEqual(traffic.faults, []);
  assert.ok(traffic.answers > 0);
}

/** Runs the rules of another backend in their place, until `work` is done. */
async function instead({ lab, store }: Life, backend: KernelBackend, work: () => Promise<void>): Promise<void> {
  const { proxier } = await startRules(lab.namespace("a"), store, backend, { takeOver: true });
  try {
    await work();
  } finally {
    await proxier.close();
  }
}

const noServers = async ({ inside }: Life): Promise<void> => {
  await eventually("no virtual servers are left", () => inside("ipvsadm", "-S", "-n") === "");
  await eventually("no link is left", () => !inside("ip", "-br", "link").includes("kube-ipvs0"));
  await eventually("no sets are left", () => inside("ipset", "list", "-name") === "");
};

export const ipvsTakeoverCases: readonly GuestCase[] = [
  {
    name: "ipvs takeover: backends change, ipvs to iptables and back, and no connection misses anything",
    run: (signal) =>
      live(async (life) => {
        const { lab, start, inside } = life;
        await (await start()).proxier.close();
        await whileServed(lab, async () => {
          const served = await lab.agents.a2.hold(web);
          await instead(life, "iptables-nft", async () => {
            assert.equal(await served.say(), served.said);
            assert.match(inside("ipvsadm", "-S", "-n"), new RegExp(`-t ${vip}:80`), "an open connection keeps its virtual server");
            await served.release();
            await noServers(life);
          });
          const pooled = await lab.agents.a2.hold(web);
          await start();
          assert.equal(await pooled.say(), pooled.said);
          await pooled.release();
          assert.doesNotMatch(inside("iptables-nft-save"), /FAIRWAY-P-/);
        });
      }, signal),
  },
  {
    name: "ipvs takeover: what kube-proxy in ipvs mode left goes, when its connections have ended, and nothing else",
    run: (signal) =>
      live(async (life) => {
        const { lab, inside } = life;
        const sh = (script: string): string => inside("sh", "-c", script);
        const node = labAddresses.a[4];
        sh(`ip link add kube-ipvs0 type dummy && ip addr add ${vip}/32 dev kube-ipvs0`);
        sh("sysctl -q -w net.ipv4.vs.conntrack=1");
        sh(`ipvsadm -A -t ${vip}:80 -s rr && ipvsadm -a -t ${vip}:80 -r ${labAddresses.b1[4]}:8080 -m`);
        sh(`ipvsadm -A -t ${node}:31234 -s rr && ipvsadm -A -t ${node}:31235 -s rr`);
        sh("ipset create KUBE-NODE-PORT-TCP bitmap:port range 0-65535 && ipset add KUBE-NODE-PORT-TCP 31234");
        sh(`ipset create KUBE-CLUSTER-IP hash:ip,port && ipset add KUBE-CLUSTER-IP ${vip},tcp:80`);
        sh(
          "iptables-nft -t nat -N KUBE-SERVICES && iptables-nft -t nat -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT",
        );
        sh("iptables-nft -t nat -A PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES");
        const held = await lab.agents.a2.hold(web);
        await whileServed(lab, () =>
          instead(life, "nftables", async () => {
            await eventually("kube-proxy's chains are gone", () => !inside("iptables-nft-save").includes("KUBE-"));
            assert.equal(await held.say(), held.said);
            await held.release();
            await eventually("its sets are gone", () => inside("ipset", "list", "-name") === "");
            assert.doesNotMatch(inside("ip", "-br", "link"), /kube-ipvs0/);
            assert.equal(inside("ipvsadm", "-S", "-n").trim(), `-A -t ${node}:31235 -s rr`, "of somebody else");
          }),
        );
        sh("ipvsadm -C; nft flush ruleset");
      }, signal),
  },
];
