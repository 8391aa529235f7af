import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Backend, compileOffline } from "../../../rules/index.ts";
import { type Protocol, parseProtocol } from "../../../rules/model/service-port.ts";
import type { Service } from "../../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../../src/api/types/discovery-v1.generated.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode } from "../../support/rules-objects.ts";

interface Flow {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: string;
  readonly want: string;
  readonly endpoints: readonly string[];
  readonly masquerade: boolean;
}
interface Group {
  readonly id: string;
  readonly config: {
    readonly localDetectorImplemented: boolean;
    readonly localhostNodePorts: boolean;
    readonly masqueradeAll: boolean;
    readonly nodeName: string;
    readonly nodePortAddresses: string;
    readonly topologyLabels: Readonly<Record<string, string>> | null;
  };
  readonly nodeIPs: readonly string[];
  readonly objects: readonly (Service | EndpointSlice)[];
  readonly flows: readonly Flow[];
}

const file = join(import.meta.dirname, "..", "..", "..", "..", "shared", "cases", "rules-flows.json");

/** Flows whose answer belongs to kube-proxy's iptables mode alone. */
function peculiarity(backend: Backend, group: Group, flow: Flow): string | undefined {
  if (backend !== "iptables" && flow.to === "127.0.0.1" && group.config.localhostNodePorts)
    return "node ports on localhost are iptables' alone";
  if (!["iptables", "ipvs"].includes(backend) && flow.endpoints.includes("ACCEPT"))
    return "opening health check ports in a filter chain is iptables' alone";
  return undefined;
}

describe.skipIf(!existsSync(file))("flows of kube-proxy's own tables", () => {
  const { groups } = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { groups: readonly Group[] }) : { groups: [] };
  const left: string[] = [];
  for (const backend of ["nftables", "iptables", "ipvs", "userspace"] as const) {
    test.each(groups.map((g) => [g.id, g] as const))(`${backend} %s`, (_, group) => {
      const { config } = group;
      const store = new SnapshotStore();
      const pods = config.localDetectorImplemented ? ["10.0.0.0/8", "fd00:10::/64"] : [];
      fillStore(store, [makeNode(config.nodeName, group.nodeIPs, pods, config.topologyLabels ?? {}), ...group.objects]);
      const program = compileOffline(store.current, {
        nodeName: config.nodeName,
        backend,
        masqueradeAll: config.masqueradeAll,
        localhostNodePorts: config.localhostNodePorts,
        nodePortAddresses: config.nodePortAddresses
          .replace(/[[\]]/g, "")
          .split(" ")
          .flatMap((c) => parseCidr(c) ?? []),
      });
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
