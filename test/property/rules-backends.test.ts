import fc from "fast-check";
import { expect, test } from "vitest";
import { compileOffline, type Packet, type Protocol, type RuleOptions } from "../../rules/index.ts";
import { itemId } from "../../rules/ipvs/values.ts";
import { backends } from "../../rules/model/backend.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { batchFromEmpty, SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { allowedFate, type OracleOptions, oracle, printFate } from "../support/packet-oracle.ts";
import {
  clusterIp,
  nodeIp,
  outerIp,
  podIp,
  podRanges,
  secondNodeIp,
  serviceNames,
  serviceRanges,
  serviceShape,
  step,
  strangerIp,
  take,
} from "../support/rules-world.ts";
import { runs } from "../support/runs.ts";

const wholeCluster = ["10.244.0.0/16", "fd44::/32"];
type Config = Pick<RuleOptions, "clusterCidrs" | "masqueradeAll" | "localDnsIps"> & Pick<OracleOptions, "nodePortAddresses">;
const cidrs = (texts: readonly string[]) => texts.flatMap((text) => parseCidr(text) ?? []);
const config: fc.Arbitrary<Config> = fc.record({
  clusterCidrs: fc.constantFrom(undefined, undefined, [], cidrs(podRanges), cidrs(wholeCluster), cidrs(["10.244.0.0/16"])),
  masqueradeAll: fc.constantFrom(false, false, true),
  localDnsIps: fc.constantFrom([], [], [], [clusterIp(4, 3), clusterIp(6, 3)]),
  nodePortAddresses: fc.constantFrom<Config["nodePortAddresses"]>("primary", "primary", "all", cidrs(["192.0.3.0/24", "fd02::/64"])),
});

const sources = (f: IpFamily): readonly string[] => [
  podIp(f, 1),
  podIp(f, 2),
  podIp(f, 5),
  nodeIp(f),
  secondNodeIp(f),
  strangerIp(f, 7),
  strangerIp(f, 8),
  outerIp(f, 1),
];
const targets = (f: IpFamily): readonly (readonly [string, number])[] => [
  [clusterIp(f, 1), 80],
  [clusterIp(f, 2), 81],
  [clusterIp(f, 3), 80],
  [outerIp(f, 1), 80],
  [outerIp(f, 9), 80],
  [nodeIp(f), 30000],
  [secondNodeIp(f), 30000],
  [clusterIp(f, 250), 80],
  [outerIp(f, 200), 80],
];

test("every backend gives every packet the fate that the objects say", () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.array(serviceShape, { minLength: 4, maxLength: 4 }),
      fc.array(step, { maxLength: 16 }),
      fc.constantFrom<IpFamily>(4, 6),
      fc.constantFrom<Protocol>("tcp", "tcp", "udp", "sctp"),
      config,
      (shapes, steps, family, protocol, options) => {
        const store = new SnapshotStore();
        take(store, { do: "node", zone: "east", pods: true });
        for (const [i, shape] of shapes.entries()) take(store, { do: "service", name: serviceNames[i] ?? "s0", shape });
        for (const s of steps) take(store, s);
        const serviceCidr = { metadata: { name: "kubernetes" }, spec: { cidrs: [...serviceRanges] } };
        store.apply("ServiceCIDR", "kubernetes", serviceCidr, "1");
        const { tables } = batchFromEmpty(store.current).after;
        const world = {
          services: [...tables.Service.values()],
          slices: [...tables.EndpointSlice.values()],
          serviceCidrs: [serviceCidr],
          node: tables.Node.get("n"),
        };
        const fateOf = oracle(world, { ...options, nodeName: "n" });
        const programs = backends.map((backend) => ({
          backend,
          program: compileOffline(store.current, { ...options, localhostNodePorts: false, nodeName: "n", backend }),
        }));
        for (const from of sources(family)) {
          for (const [to, port] of targets(family)) {
            const packet: Packet = { from, to, port, protocol };
            const fate = fateOf(packet);
            seen.set(fate.verdict, (seen.get(fate.verdict) ?? 0) + 1);
            for (const { backend, program } of programs) {
              // on the service link an address is this machine's own: nobody else can send from it
              if (program.ipvs?.held.has(itemId({ kind: "address", ip: from })) === true) continue;
              expect({ backend, packet, fate: printFate(program.trace(packet)) }).toEqual({
                backend,
                packet,
                fate: printFate(allowedFate(backend, packet, fate)),
              });
            }
          }
        }
      },
    ),
    runs(40, 20262),
  );
  // the small world has something to say about every verdict
  for (const verdict of ["deliver", "reject", "drop", "pass"]) expect(seen.get(verdict) ?? 0).toBeGreaterThan(20);
});
