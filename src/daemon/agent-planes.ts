import { randomBytes } from "node:crypto";
import { type DnsBlocks, DnsZone, reverseZones } from "../../dns/index.ts";
import { IngressTranslator, type RouteDelta } from "../../ingress/index.ts";
import { parseCidr } from "../base/cidr.ts";
import { systemClock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import { type Batch, emptySnapshot, type ObjectKey } from "../snapshot/cluster-snapshot.ts";
import type { Problem } from "../snapshot/problem.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { gossipSettings, touchesGossip, unsharedLimits } from "./ingress-gossip.ts";
import type { ServicePort } from "./ingress-ports.ts";
import { ingressEntries } from "./ingress-table.ts";
import { keyedNames, zoneEntries } from "./names-table.ts";
import { plainRange } from "./plain-range.ts";
import type { StatePublisher } from "./state-publisher.ts";
import type { KeyedDelta, StateSource } from "./state-stream.ts";

const zoneLabel = "topology.kubernetes.io/zone";

/** Makes one table of the snapshot for the children that serve it. */
export interface AgentPlane {
  readonly source: StateSource;
  /** Brings the table up to date; undefined when no child has to be told. */
  apply(batch: Batch, heard: boolean): Omit<KeyedDelta, "revision"> | undefined;
  problems(): Iterable<Problem>;
  /** Ingresses that are served here. */
  served(): Iterable<ObjectKey>;
}

/** Names for the DNS process. */
export function namesPlane(config: DaemonConfig, clusterDns: readonly Ip[], blocks: DnsBlocks | undefined): AgentPlane {
  const ranges = [...config.clusterCidrs, ...config.serviceCidrs].map((text) => parseCidr(text)).filter((c) => c !== undefined);
  const zone = new DnsZone({
    ...(blocks?.zones ?? { kubernetes: { zones: [config.clusterDomain, ...ranges.flatMap((c) => reverseZones(c))] } }),
    addresses: clusterDns,
    revision: Math.floor(systemClock.now() / 1000),
  });
  return {
    source: { name: "dns", tag: () => zone.revision, full: () => zoneEntries(zone) },
    apply: (batch, heard) => {
      const { delta } = zone.apply(batch);
      return heard ? keyedNames(delta) : undefined;
    },
    problems: () => zone.problems(),
    served: () => [],
  };
}

/** Routes, pools and certificates for the ingress processes. `onPorts` hears which ports of Services these are to listen at. */
export function routesPlane(config: DaemonConfig, onPorts: (ports: readonly ServicePort[]) => void): AgentPlane {
  const ports = new Map<string, ServicePort>();
  const translator = new IngressTranslator({
    ...(config.plain ? { allowedEndpoints: [plainRange] } : {}),
    ...(config.ingressScope === undefined ? {} : { scope: config.ingressScope }),
  });
  const ownSecret = randomBytes(32).toString("base64");
  let gossip: NonNullable<RouteDelta["gossip"]> = "none";
  let zone = "";
  let snapshot = emptySnapshot;
  return {
    source: { name: "ingress", together: true, full: () => ingressEntries({ ...translator.full(), gossip, zone }).upserts },
    apply: (batch) => {
      const before = gossip;
      snapshot = batch.after;
      gossip = touchesGossip(batch) ? gossipSettings(batch.after, config.nodeName, ownSecret) : before;
      const same = JSON.stringify(gossip) === JSON.stringify(before);
      const zoneBefore = zone;
      if (batch.dirty.has("Node")) zone = batch.after.tables.Node.get(config.nodeName)?.metadata?.labels?.[zoneLabel] ?? "";
      const delta = translator.apply(batch);
      const { upserts = [], deletes = [] } = delta.streams ?? {};
      for (const id of deletes) ports.delete(id);
      for (const { id, protocol, port, object } of upserts) ports.set(id, { protocol, port, object });
      if (upserts.length + deletes.length > 0) onPorts([...ports.values()]);
      return ingressEntries({ ...delta, ...(same ? {} : { gossip }), ...(zone === zoneBefore ? {} : { zone }) });
    },
    problems: () => [...translator.problems, ...unsharedLimits(snapshot, translator.served)],
    served: () => translator.served,
  };
}

/** Brings each plane up to date in turn and tells its children. Other work of this process runs between those of a large batch. */
export async function feedPlanes(planes: readonly AgentPlane[], batch: Batch, publisher: StatePublisher): Promise<void> {
  for (const plane of planes) {
    const { name } = plane.source;
    const delta = plane.apply(batch, publisher.isHeard(name));
    if (delta !== undefined) publisher.publish(name, delta);
    if (batchSize(batch) > largeBatch) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Objects of a batch from which on planes take turns. */
const largeBatch = 500;

export function batchSize(batch: Batch): number {
  return [...batch.dirty.values()].reduce((n, keys) => n + keys.size, 0);
}
