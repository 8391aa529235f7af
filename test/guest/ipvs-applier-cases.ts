import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import { serviceLink } from "../../rules/ipvs/values.ts";
import { ipvsApplierContract } from "../contract/ipvs-applier.ts";
import type { GuestCase } from "../support/guest-case.ts";

const inside = (command: string, ...args: readonly string[]): string => execFileSync(command, args, { encoding: "utf8" });

/** In the guest's own network namespace: nobody else is there. */
async function open(through: "netlink" | "commands", signal: AbortSignal): Promise<IpvsApplier> {
  const applier = createIpvsApplier({ through, strictArp: true });
  await applier.prepare(signal);
  return applier;
}

export const ipvsApplierCases: readonly GuestCase[] = [
  ...ipvsApplierContract("netlink", (signal) => open("netlink", signal)),
  ...ipvsApplierContract("commands", (signal) => open("commands", signal)),
  {
    name: "the settings that ipvs needs are made, and the link stays down",
    async run(signal) {
      const applier = await open("netlink", signal);
      try {
        const value = (name: string): string => inside("sysctl", "-n", name).trim();
        assert.equal(value("net.ipv4.vs.conntrack"), "1");
        assert.equal(value("net.ipv4.vs.conn_reuse_mode"), "0");
        assert.equal(value("net.ipv4.vs.expire_nodest_conn"), "1");
        assert.equal(value("net.ipv4.vs.expire_quiescent_template"), "1");
        assert.equal(value("net.ipv4.conf.all.arp_ignore"), "1");
        assert.equal(value("net.ipv4.conf.all.arp_announce"), "2");
        assert.match(inside("ip", "-br", "link", "show", "dev", serviceLink), /DOWN/);
      } finally {
        await applier.close();
      }
    },
  },
  {
    name: "removing takes what is ours only",
    async run(signal) {
      const applier = await open("netlink", signal);
      try {
        inside("ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "rr");
        inside("ipvsadm", "-A", "-f", "7", "-s", "rr");
        inside("ipset", "create", "OTHER", "hash:ip");
        const match = { kind: "address", protocol: "tcp", ip: "10.96.0.1", port: 80 } as const;
        const set = { name: "FAIRWAY-X", type: "hash:ip", family: 4 } as const;
        const before = [inside("ipvsadm", "-S", "-n"), inside("ipset", "save")];
        const adds = [{ kind: "address", ip: "10.96.0.1" } as const, { kind: "service", service: { match, scheduler: "rr" } } as const];
        await applier.apply({ createSets: [set], groups: [{ owner: "x", deletes: [], changes: [], adds }], destroySets: [] }, signal);
        assert.equal((await applier.read(signal)).items.size, 2);
        await applier.remove(signal);
        assert.deepEqual([inside("ipvsadm", "-S", "-n"), inside("ipset", "save")], before);
        assert.doesNotMatch(inside("ip", "-br", "link"), new RegExp(serviceLink));
      } finally {
        await applier.close();
      }
    },
  },
];
