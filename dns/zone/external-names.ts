import type { Service } from "../../src/api/types/core-v1.generated.ts";
import { type Ip, isPort, parseIp } from "../../src/base/ip.ts";
import type { ObjectKey, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Derivation } from "../../src/snapshot/derivation.ts";
import type { ExternalNamesConfig, KubernetesConfig } from "../config/zone-config.ts";
import type { DomainName } from "../wire/name.ts";
import type { RecordData } from "../wire/record.ts";
import { createEndpointTargets } from "./endpoint-targets.ts";
import type { Exposure } from "./exposure.ts";
import { isLabel, maxNameLength } from "./label.ts";
import type { NameSource } from "./name-source.ts";
import type { PointerClaim } from "./pointer-names.ts";
import { addressSets, srvSets } from "./record-sets.ts";
import { addPortNames, affectedServices, endpointNames, externalTarget, headlessNames, made, type ServiceNames } from "./service-names.ts";

/** Service key → the names of its external addresses in one zone: `<service>.<namespace>.<zone>`. */
export function externalNamesDerivation(config: {
  /** Canonical. */
  readonly zone: DomainName;
  readonly exposure: Exposure;
  readonly kubernetes: KubernetesConfig;
  readonly external: ExternalNamesConfig;
}): Derivation<ObjectKey, ServiceNames> {
  const targets = createEndpointTargets(config.kubernetes);
  const compile = (snapshot: Snapshot, key: ObjectKey): ServiceNames | undefined => {
    const service = snapshot.tables.Service.get(key);
    if (service === undefined || !config.exposure.hasObject(snapshot, service.metadata)) return undefined;
    const { name = "", namespace = "" } = service.metadata ?? {};
    const base = `${name}.${namespace}.${config.zone}`;
    // what cannot be a name is the cluster's zone's problem, and told there
    if (!isLabel(name) || !isLabel(namespace) || base.length > maxNameLength) return undefined;
    if (isHeadless(service)) {
      if (config.external.headless !== true) return undefined;
      const own = targets(snapshot, key, base);
      const names = endpointNames(own);
      headlessNames(names, own, base);
      return { names, claims: own.map(({ ip, name: target }): PointerClaim => ({ ip, name: target, as: "external-endpoint" })) };
    }
    return reachedNames(service, base);
  };
  return {
    affected: (batch) => affectedServices(batch, config.exposure),
    compute: (snapshot, key) => ({ plan: compile(snapshot, key), problems: [] }),
  };
}

/** Of a Service that is reached from outside by addresses, or by a host name that its load balancer has. */
function reachedNames(service: Service, base: DomainName): ServiceNames | undefined {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const texts = [...(service.spec?.externalIPs ?? []), ...ingress.flatMap((i) => i.ip ?? [])];
  const ips: readonly Ip[] = Array.from(new Set(texts.flatMap((text) => parseIp(text) ?? [])));
  const [hostname] = ingress.flatMap((i) => (i.hostname === undefined ? [] : (externalTarget(i.hostname) ?? [])));
  const ports = (service.spec?.ports ?? []).filter((p) => isPort(p.port));
  const names = new Map<DomainName, NameSource>();
  if (ips.length > 0) {
    const pairs = ports.flatMap((port) => ips.map(() => ({ target: base, port: port.port, as: port })));
    names.set(base, made([...addressSets(ips), ...srvSets(pairs)]));
    addPortNames(names, pairs, base);
    return { names, claims: ips.map((ip): PointerClaim => ({ ip, name: base, as: "external" })) };
  }
  if (hostname === undefined) return undefined;
  names.set(base, made([{ data: [{ kind: "CNAME", target: hostname }] }]));
  for (const port of ports) {
    if (port.name === undefined || !isLabel(port.name)) continue;
    const data: RecordData = { kind: "SRV", priority: 0, weight: 100, port: port.port, target: hostname };
    names.set(`_${port.name}._${(port.protocol ?? "TCP").toLowerCase()}.${base}`, made([{ data: [data] }]));
  }
  return { names, claims: [] };
}

function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === "None" || spec?.clusterIPs?.[0] === "None";
}
