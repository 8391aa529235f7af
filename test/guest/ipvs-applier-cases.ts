import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import { serviceLink } from "../../rules/ipvs/values.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import { ipvsApplierContract } from "../contract/ipvs-applier.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { commandsIn, inNetns } from "../support/in-netns.ts";

const inside = (command: string, ...args: readonly string[]): string => execFileSync(command, args, { encoding: "utf8" });

/** In the guest's own network namespace: nobody else is there. */
async function open(through: "netlink" | "commands", signal: AbortSignal): Promise<IpvsApplier> {
  const applier = createIpvsApplier({ through, strictArp: false });
  await applier.prepare(signal);
  return applier;
}

export const ipvsApplierCases: readonly GuestCase[] = [
  ...ipvsApplierContract("netlink", (signal) => open("netlink", signal)),
  ...ipvsApplierContract("commands", (signal) => open("commands", signal)),
  ...(["netlink", "commands"] as const).map(
    (through): GuestCase => ({
      name: `${through}: the settings that ipvs needs are made, and the link stays down`,
      async run(signal) {
        // in a namespace of its own: others made later would have them too
        const namespace = "fwgst-settings";
        const run = commandsIn(namespace);
        inside("ip", "netns", "add", namespace);
        const timeouts = { tcpSeconds: 700, udpSeconds: 70 };
        const applier = inNetns(namespace, () => createIpvsApplier({ through, strictArp: true, timeouts }, run));
        try {
          await applier.prepare(signal);
          const said = async (...argv: readonly string[]): Promise<string> => (await run(argv, {}, signal)).stdout.trim();
          const names = ["vs.conntrack", "vs.expire_nodest_conn", "vs.expire_quiescent_template", "ip_forward"];
          const arp = ["conf.all.arp_ignore", "conf.all.arp_announce"];
          const values = await said("sysctl", "-n", ...[...names, ...arp].map((n) => `net.ipv4.${n}`));
          assert.deepEqual(values.split("\n"), ["1", "1", "1", "1", "1", "2"]);
          assert.match(await said("ip", "-br", "link", "show", "dev", serviceLink), /DOWN/);
          assert.match(await said("ipvsadm", "-L", "--timeout"), /\(tcp tcpfin udp\): 700 120 70/);
          await applier.remove(signal);
        } finally {
          await applier.close();
          inside("ip", "netns", "delete", namespace);
        }
      },
    }),
  ),
  {
    name: "removing takes what is ours only, not what is in excluded ranges",
    async run(signal) {
      const excludedCidrs = ["10.97.0.0/16"].flatMap((text) => parseCidr(text) ?? []);
      const applier = createIpvsApplier({ through: "netlink", strictArp: false, excludedCidrs });
      await applier.prepare(signal);
      try {
        inside("ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "rr");
        inside("ipvsadm", "-A", "-f", "7", "-s", "rr");
        inside("ip", "address", "add", "10.97.0.1/32", "dev", serviceLink);
        inside("ipvsadm", "-A", "-t", "10.97.0.1:80", "-s", "rr");
        inside("ipset", "create", "OTHER", "hash:ip");
        const match = { kind: "address", protocol: "tcp", ip: "10.96.0.1", port: 80 } as const;
        const set = { name: "FAIRWAY-X", type: "hash:ip", family: 4 } as const;
        const before = [inside("ipvsadm", "-S", "-n"), inside("ipset", "save")];
        const adds = [{ kind: "address", ip: "10.96.0.1" } as const, { kind: "service", service: { match, scheduler: "rr" } } as const];
        await applier.apply({ createSets: [set], groups: [{ owner: "x", deletes: [], changes: [], adds }], destroySets: [] }, signal);
        assert.deepEqual([...(await applier.read(signal)).items.keys()], ["address 10.96.0.1", "service 10.96.0.1:80/tcp"]);
        await applier.remove(signal);
        assert.deepEqual([inside("ipvsadm", "-S", "-n"), inside("ipset", "save")], before);
        assert.doesNotMatch(inside("ip", "-br", "link"), new RegExp(serviceLink));
        inside("ipvsadm", "-C");
        inside("ipset", "destroy", "OTHER");
      } finally {
        await applier.close();
      }
    },
  },
];
