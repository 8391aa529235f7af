import assert from "node:assert/strict";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import type { ChangeGroup } from "../../rules/ipvs/transaction.ts";
import type { IpvsItem, ServiceMatch } from "../../rules/ipvs/values.ts";
import type { Protocol } from "../../rules/model/service-port.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { commandsIn, inNetns } from "../support/in-netns.ts";
import { labAddresses, type RulesLab } from "../support/rules-lab.ts";
import { answerWithinMs, eventually, sharedLab } from "./lab.ts";

const vip = { 4: "10.96.0.1", 6: "fd96::1" } as const;
const at = (family: IpFamily, protocol: Protocol): ServiceMatch => ({ kind: "address", protocol, ip: vip[family], port: 80 });
const service = (match: ServiceMatch, persistenceSeconds?: number): IpvsItem => ({
  kind: "service",
  service: { match, scheduler: "rr", ...(persistenceSeconds === undefined ? {} : { persistenceSeconds }) },
});
const real = (match: ServiceMatch, pod: "a1" | "a2" | "b1", family: IpFamily): IpvsItem => ({
  kind: "real",
  match,
  real: { ip: labAddresses[pod][family], port: 8080, weight: 1 },
});
const group = (change: Partial<ChangeGroup>): ChangeGroup => ({ owner: "web", deletes: [], changes: [], adds: [], ...change });

/** Virtual servers in node `a` of the lab. */
async function withLab(work: (lab: RulesLab, applier: IpvsApplier) => Promise<void>, signal: AbortSignal): Promise<void> {
  const lab = await sharedLab();
  const namespace = lab.namespace("a");
  const run = commandsIn(namespace);
  const applier = inNetns(namespace, () => createIpvsApplier({ through: "netlink", strictArp: false }, run));
  try {
    await applier.prepare(signal);
    await work(lab, applier);
  } finally {
    await applier.remove(signal);
    await applier.close();
  }
}

export const ipvsTrafficCases: readonly GuestCase[] = [
  {
    name: "traffic: connections go round, an endpoint that leaves keeps those it has and takes no other",
    run: (signal) =>
      withLab(async (lab, applier) => {
        const apply = (change: Partial<ChangeGroup>): Promise<void> =>
          applier.apply({ createSets: [], groups: [group(change)], destroySets: [] }, signal);
        for (const family of [4, 6] as const) {
          const adds: IpvsItem[] = [{ kind: "address", ip: vip[family] }];
          for (const protocol of ["tcp", "udp"] as const) {
            const match = at(family, protocol);
            adds.push(service(match), real(match, "a1", family), real(match, "b1", family));
          }
          await apply({ adds });
          const ask = async (protocol: "tcp" | "udp", count: number): Promise<readonly string[]> => {
            const said = await lab.agents.a2.probe({ protocol, host: vip[family], port: 80, count, timeoutMs: answerWithinMs });
            return said.map((line) => (/^[ab]\d /.test(line) ? line.slice(0, 2) : line));
          };
          for (const protocol of ["tcp", "udp"] as const) {
            assert.deepEqual(new Set(await ask(protocol, 4)), new Set(["a1", "b1"]), `IPv${family} ${protocol}`);
          }

          // one connection to each: rr takes turns
          const held = [];
          for (let i = 0; i < 2; i++) held.push(await lab.agents.a2.hold({ protocol: "tcp", host: vip[family], port: 80 }));
          const kept = held.find((h) => h.said.startsWith("b1")) ?? assert.fail("one goes to b1");
          const tcp = at(family, "tcp");
          const b1 = { ip: labAddresses.b1[family], port: 8080 };
          await eventually("the connection is counted", async () => (await applier.activeConnections(tcp, b1, signal)) > 0);
          await apply({ deletes: [real(tcp, "b1", family), real(at(family, "udp"), "b1", family)] });
          assert.equal(applier.draining(), 1, "of TCP; UDP goes at once");
          assert.ok(![...(await applier.read(signal)).items.values()].some((item) => item.kind === "real" && item.real.ip === b1.ip));
          for (const protocol of ["tcp", "udp"] as const) {
            assert.deepEqual(new Set(await ask(protocol, 4)), new Set(["a1"]), `IPv${family} ${protocol} without b1`);
          }
          assert.match(await kept.say(), /b1/);

          // it comes back before it has gone
          await apply({ adds: [real(tcp, "b1", family)] });
          assert.equal(applier.draining(), 0);
          assert.deepEqual(new Set(await ask("tcp", 4)), new Set(["a1", "b1"]));
          assert.match(await kept.say(), /b1/);

          await apply({ deletes: [real(tcp, "b1", family)] });
          assert.equal(applier.draining(), 1);
          assert.match(await kept.say(), /b1/);
          await kept.release();
          await eventually("it goes when its connection has ended", () => applier.draining() === 0);
          const listed = lab.run("a", "ipvsadm", ["-S", "-n"]);
          assert.ok(!listed.includes(b1.ip), listed);
        }
      }, signal),
  },
  {
    name: "traffic: a client is remembered; one whose endpoint leaves is sent on",
    run: (signal) =>
      withLab(async (lab, applier) => {
        const match = at(4, "tcp");
        const adds = [{ kind: "address", ip: vip[4] } as const, service(match, 600), real(match, "a1", 4), real(match, "b1", 4)];
        await applier.apply({ createSets: [], groups: [group({ adds })], destroySets: [] }, signal);
        const said = await lab.agents.a2.probe({ protocol: "tcp", host: vip[4], port: 80, count: 6, timeoutMs: answerWithinMs });
        const pods = new Set(said.map((line) => line.split(" ")[0]));
        assert.equal(pods.size, 1, [...pods].join());
        // weight 0: a client that is remembered for it is sent on
        const [pod] = pods;
        const gone = real(match, pod === "a1" ? "a1" : "b1", 4);
        const other = pod === "a1" ? "b1" : "a1";
        await applier.apply({ createSets: [], groups: [group({ deletes: [gone] })], destroySets: [] }, signal);
        const next = await lab.agents.a2.probe({ protocol: "tcp", host: vip[4], port: 80, count: 4, timeoutMs: answerWithinMs });
        assert.deepEqual(new Set(next.map((line) => line.split(" ")[0])), new Set([other]));
      }, signal),
  },
];
