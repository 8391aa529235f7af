import type { Packet, RuleOptions } from "../../rules/index.ts";
import type { Protocol } from "../../rules/model/service-port.ts";
import type { Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { type Fate, type OracleOptions, type OracleWorld, oracle } from "../support/packet-oracle.ts";
import { labAddresses, labPodCidrs } from "../support/rules-lab.ts";
import { makeService, makeSlice, type SliceEndpoint } from "../support/rules-objects.ts";
import { linkOf, packetCluster, type packetObjects } from "./packets.ts";

/**
 * Every external and internal policy × readiness (or hints) of endpoints here and elsewhere × kind of address × sender ×
 * family × detector × masquerading; protocols take turns. What is to become of each packet is what test/support/packet-oracle.ts
 * says of the objects.
 */
export interface MatrixRow {
  readonly name: string;
  readonly from: MatrixSource;
  readonly kind: MatrixKind;
  readonly packet: Packet;
  readonly fate: Fate;
}
export type MatrixSource = (typeof matrixSources)[number];
const matrixSources = ["client", "a", "b", "a1", "a2", "b1"] as const;
export type MatrixConfig = keyof typeof matrixConfigs;

const wholeCluster = [...labPodCidrs.a, ...labPodCidrs.b].flatMap((text) => parseCidr(text) ?? []);
/** Detectors and masquerading. */
export const matrixConfigs = {
  nodeCidr: {},
  clusterCidr: { clusterCidrs: wholeCluster },
  noDetector: { clusterCidrs: [] },
  /** All pods of this node, like `nodeCidr`. */
  linkPrefix: { localInterface: { kind: "prefix", name: "a" } },
  /** One pod of this node only. */
  bridge: { localInterface: { kind: "bridge", name: "a2" } },
  masqueradeAll: { masqueradeAll: true },
  masqueradeAllBridge: { masqueradeAll: true, localInterface: { kind: "bridge", name: "a2" } },
} as const satisfies Readonly<Record<string, Omit<RuleOptions, "nodeName">>>;
export const matrixConfigNames = Object.keys(matrixConfigs) as readonly MatrixConfig[];

type Policy = "Cluster" | "Local";
type Condition = "none" | "ready" | "draining" | "unready";
interface Hints {
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}
interface MatrixService {
  readonly name: string;
  readonly external: Policy;
  readonly internal: Policy;
  readonly here: readonly [Condition, Hints];
  readonly elsewhere: readonly [Condition, Hints];
}

const policies = (["Cluster", "Local"] as const).flatMap((external) =>
  (["Cluster", "Local"] as const).map((internal) => ({ external, internal })),
);
const conditions = ["none", "ready", "draining", "unready"] as const;
/** Node `a` is in zone east, `b` in west. */
const hints: Readonly<Record<string, { readonly here: Hints; readonly elsewhere: Hints }>> = {
  zones: { here: { zones: ["east"] }, elsewhere: { zones: ["west"] } },
  "zones-on-some": { here: { zones: ["east"] }, elsewhere: {} },
  "zones-crossed": { here: { zones: ["west"] }, elsewhere: { zones: ["east"] } },
  "zones-not-this": { here: { zones: ["west"] }, elsewhere: { zones: ["west"] } },
  "nodes-crossed": { here: { nodes: ["b"], zones: ["east"] }, elsewhere: { nodes: ["a"], zones: ["west"] } },
  "nodes-on-some": { here: { nodes: ["b"], zones: ["west"] }, elsewhere: { zones: ["east"] } },
  "nodes-not-this": { here: { nodes: ["b"], zones: ["east"] }, elsewhere: { nodes: ["b"], zones: ["west"] } },
};

const services: readonly MatrixService[] = policies.flatMap((policy) => {
  const named = (what: string, here: MatrixService["here"], elsewhere: MatrixService["elsewhere"]): MatrixService => {
    return { name: `${policy.external}-${policy.internal}-${what}`.toLowerCase(), ...policy, here, elsewhere };
  };
  return [
    ...conditions.flatMap((here) => conditions.map((elsewhere) => named(`${here}-${elsewhere}`, [here, {}], [elsewhere, {}]))),
    ...Object.entries(hints).flatMap(([name, of]) =>
      (["ready", "draining"] as const).map((here) => named(`${name}-${here}`, [here, of.here], ["ready", of.elsewhere])),
    ),
  ];
});

export const matrixKinds = ["cluster IP", "external IP", "load balancer IP", "node port"] as const;
export type MatrixKind = (typeof matrixKinds)[number];
const families: readonly IpFamily[] = [4, 6];
const protocols: readonly Protocol[] = ["tcp", "udp", "sctp"];
const portName = { tcp: "t", udp: "u", sctp: "s" } as const;
const nodePort = (i: number): number => 30_010 + i;

function addressOf(kind: MatrixKind, i: number, family: IpFamily): string {
  const n = i + 10;
  switch (kind) {
    case "cluster IP":
      return family === 4 ? `10.96.1.${n}` : `fd96::1${n}`;
    case "external IP":
      return family === 4 ? `198.51.100.${n}` : `fd98::${n}`;
    case "load balancer IP":
      return family === 4 ? `198.51.100.${n + services.length}` : `fd98::1${n}`;
    case "node port":
      return labAddresses.a[family];
  }
}

function objectsOf(s: MatrixService, i: number): readonly (Service | EndpointSlice)[] {
  const both = (kind: MatrixKind): string[] => families.map((f) => addressOf(kind, i, f));
  const service = makeService(
    s.name,
    {
      type: "LoadBalancer",
      externalTrafficPolicy: s.external,
      internalTrafficPolicy: s.internal,
      clusterIP: addressOf("cluster IP", i, 4),
      clusterIPs: both("cluster IP"),
      externalIPs: both("external IP"),
      ports: protocols.map((p) => ({ name: portName[p], protocol: p.toUpperCase(), port: 80, nodePort: nodePort(i) })),
    },
    { status: { loadBalancer: { ingress: both("load balancer IP").map((ip) => ({ ip })) } } },
  );
  const slices = families.flatMap((family) => {
    const endpoint = (pod: "a1" | "b1", [condition, of]: MatrixService["here"]): readonly SliceEndpoint[] =>
      condition === "none"
        ? []
        : [
            {
              ip: labAddresses[pod][family],
              node: pod.slice(0, 1),
              ready: condition === "ready",
              serving: condition !== "unready",
              terminating: condition === "draining",
              ...of,
            },
          ];
    const endpoints = [...endpoint("a1", s.here), ...endpoint("b1", s.elsewhere)];
    if (endpoints.length === 0) return [];
    return [makeSlice(s.name, endpoints, { ports: protocols.map((p) => ({ name: portName[p], protocol: p.toUpperCase(), port: 8080 })) })];
  });
  return [service, ...slices];
}

/** The nodes and the Service range of the packet table, with Services of their own. */
export function matrixObjects(): ReturnType<typeof packetObjects> {
  return [...packetCluster(), ...services.flatMap(objectsOf)];
}

export function worldOf(objects: ReturnType<typeof packetObjects>): OracleWorld {
  const of = <T>(kind: string): readonly T[] => objects.filter((o) => o.kind === kind) as readonly unknown[] as readonly T[];
  return {
    services: of("Service"),
    slices: of("EndpointSlice"),
    serviceCidrs: of("ServiceCIDR"),
    node: of<OracleWorld["node"]>("Node").find((n) => n?.metadata?.name === "a"),
  };
}

/** So that each protocol meets each pair of the others. */
function turn(i: number, kind: MatrixKind, from: MatrixSource, family: IpFamily): number {
  return i + matrixKinds.indexOf(kind) + matrixSources.indexOf(from) + families.indexOf(family);
}

/** Every row of a configuration. A listener does not know by which link a connection came: it knows pods by their addresses. */
export function matrixRows(config: MatrixConfig, knowsLinks = true): readonly MatrixRow[] {
  const { localInterface, ...more }: Omit<RuleOptions, "nodeName"> = matrixConfigs[config];
  const detector = knowsLinks && localInterface !== undefined ? { localInterface } : {};
  const options: OracleOptions = { ...more, ...detector, nodeName: "a", nodePortAddresses: "primary" };
  const fateOf = oracle(worldOf(matrixObjects()), options);
  return services.flatMap((service, i) =>
    matrixKinds.flatMap((kind) =>
      matrixSources.flatMap((from) =>
        families.map((family): MatrixRow => {
          const protocol = protocols[turn(i, kind, from, family) % 3] ?? "tcp";
          const link = linkOf(from);
          const packet: Packet = {
            from: labAddresses[from][family],
            to: addressOf(kind, i, family),
            port: kind === "node port" ? nodePort(i) : 80,
            protocol,
            ...(link === undefined ? {} : { interface: link }),
          };
          return { name: `${service.name}: ${kind} from ${from}, IPv${family} ${protocol}`, from, kind, packet, fate: fateOf(packet) };
        }),
      ),
    ),
  );
}
