import assert from "node:assert/strict";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import type { IpvsItem } from "../../rules/ipvs/values.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { labAddresses } from "../support/rules-lab.ts";
import { makeService, makeSlice, put } from "../support/rules-objects.ts";
import { live, vip } from "./ipvs-life-cases.ts";
import { answerWithinMs, eventually } from "./lab.ts";

/** Asks the kernel for a scheduler that none has, at addresses for which `refuses` holds. */
function refusing(servers: IpvsApplier, refuses: (ip: string) => boolean): IpvsApplier {
  const asked = (item: IpvsItem): IpvsItem =>
    item.kind === "service" && item.service.match.kind === "address" && refuses(item.service.match.ip)
      ? { ...item, service: { ...item.service, scheduler: "fw-none" } }
      : item;
  return {
    probe: (signal) => servers.probe(signal),
    prepare: (signal) => servers.prepare(signal),
    read: (signal, wanted) => servers.read(signal, wanted),
    apply: (transaction, signal) =>
      servers.apply({ ...transaction, groups: transaction.groups.map((g) => ({ ...g, adds: g.adds.map(asked) })) }, signal),
    remove: (signal) => servers.remove(signal),
    removeKubeProxy: (wanted, signal) => servers.removeKubeProxy(wanted, signal),
    activeConnections: (match, real, signal) => servers.activeConnections(match, real, signal),
    draining: () => servers.draining(),
    close: () => servers.close(),
  };
}

const numbers = [11, 12, 13, 14, 15, 16, 17];
const ipOf = (n: number): string => `10.96.3.${n}`;

export const ipvsRefusalCases: readonly GuestCase[] = [
  {
    name: "ipvs refusals: many at a start, and at a restart, take nothing from the others; what is taken later comes by itself",
    run: (signal) =>
      live(async ({ lab, store, start, inside }) => {
        for (const n of numbers) {
          put(store, "Service", makeService(`s${n}`, { clusterIP: ipOf(n) }));
          put(store, "EndpointSlice", makeSlice(`s${n}`, [{ ip: labAddresses.b1[4], node: "b" }]));
        }
        const refused = new Set([11, 12, 13, 14, 15].map(ipOf));
        const through = (servers: IpvsApplier): IpvsApplier => refusing(servers, (ip) => refused.has(ip));
        const named = (problems: readonly { readonly reason: string; readonly object: { readonly name: string } }[]): readonly string[] =>
          problems.flatMap((p) => (p.reason === "RuleRefused" ? [p.object.name] : [])).sort();
        const served = (): readonly number[] => numbers.filter((n) => inside("ipvsadm", "-S", "-n").includes(`-A -t ${ipOf(n)}:80 `));
        const answers = async (host: string): Promise<void> => {
          const said = await lab.agents.a2.probe({ protocol: "tcp", host, port: 80, timeoutMs: answerWithinMs });
          assert.deepEqual(said, [`b1 ${labAddresses.a2[4]}`], host);
        };

        const { proxier } = await start({}, through);
        assert.deepEqual(named(proxier.problems()), ["s11", "s12", "s13", "s14", "s15"]);
        assert.deepEqual(served(), [16, 17]);
        for (const host of [vip, ipOf(16), ipOf(17)]) await answers(host);
        const links = inside("ip", "-br", "address", "show", "dev", "kube-ipvs0");
        for (const n of numbers)
          assert.equal(new RegExp(`${ipOf(n).replaceAll(".", "\\.")}/32`).test(links), n >= 16, `the address of s${n}`);
        await proxier.close();

        // others are refused at the next start, which had been in force
        refused.clear();
        for (const n of [16, 17]) put(store, "EndpointSlice", makeSlice(`s${n}`, [{ ip: labAddresses.b1[4], node: "b" }]), "2");
        for (const n of [12, 13]) refused.add(ipOf(n));
        const again = await start({}, through);
        assert.deepEqual(named(again.proxier.problems()), ["s12", "s13"]);
        assert.deepEqual(
          served(),
          numbers.filter((n) => n !== 12 && n !== 13),
        );
        for (const host of [vip, ipOf(11), ipOf(17)]) await answers(host);

        refused.clear();
        await eventually("what is no longer refused is in force", () => served().length === numbers.length);
        await eventually("and no Problem any more", () => named(again.proxier.problems()).length === 0);
        await answers(ipOf(12));
      }, signal),
  },
];
