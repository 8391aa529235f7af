import { describe, expect, test } from "vitest";
import { compileOffline } from "../../../rules/index.ts";
import { type Protocol, parseProtocol } from "../../../rules/model/service-port.ts";
import { peculiarity, peerOptions, peerStore, readPeerGroups } from "../../support/peer-flows.ts";

const groups = readPeerGroups();

describe.skipIf(groups.length === 0)("flows of kube-proxy's own tables", () => {
  const left: string[] = [];
  for (const backend of ["nftables", "iptables", "ipvs", "userspace"] as const) {
    test.each(groups.map((g) => [g.id, g] as const))(`${backend} %s`, (_, group) => {
      const program = compileOffline(peerStore(group).current, { ...peerOptions(group), backend });
      for (const flow of group.flows) {
        const reason = peculiarity(backend, group, flow);
        if (reason !== undefined) {
          left.push(`${backend}: ${reason}`);
          continue;
        }
        const protocol: Protocol = parseProtocol(flow.protocol) ?? "tcp";
        const got = program.trace({ from: flow.from, to: flow.to, port: flow.port, protocol });
        if (flow.endpoints.includes("ACCEPT")) {
          // let in to this machine's own socket: no Service's rules, as far as a verdict goes
          expect(got).toMatchObject({
            verdict: "pass",
            steps: [{ rule: expect.stringMatching(/(--dport [0-9]+|HEALTH-PORTS dst) -j ACCEPT$/) as unknown }],
          });
          continue;
        }
        expect({ flow, verdict: got.verdict, endpoints: got.endpoints, masquerade: got.masquerade }).toEqual({
          flow,
          verdict: flow.want,
          endpoints: flow.endpoints,
          // a listener's connection is its own machine's
          masquerade: backend === "userspace" ? flow.want === "deliver" : flow.masquerade,
        });
      }
    });
  }
  test("few flows are left out, each for a reason", () => {
    expect([...Map.groupBy(left, (reason) => reason)].map(([reason, list]) => [reason, list.length])).toEqual([
      ["nftables: node ports on localhost are iptables' alone", 7],
      ["nftables: opening health check ports in a filter chain is iptables' alone", 1],
      ["ipvs: node ports on localhost are iptables' alone", 7],
      ["userspace: node ports on localhost are iptables' alone", 7],
      ["userspace: opening health check ports in a filter chain is iptables' alone", 1],
    ]);
    expect(groups.length).toBeGreaterThanOrEqual(28);
  });
});
