import type { Ip } from "../../src/base/ip.ts";
import type { Batch, ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import { Derived, type ProblemDelta } from "../../src/snapshot/derivation.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import { apexNames } from "./apex-names.ts";
import { type NameSource, recordsOf, sameSource } from "./name-source.ts";
import { namespaceNamesDerivation, type PodMode } from "./namespace-names.ts";
import { PointerClaims, pointerSource } from "./pointer-names.ts";
import type { NameRecords, NameUpsert, RecordDelta } from "./record-delta.ts";
import { reverseName } from "./reverse-zone.ts";
import { type ServiceNames, serviceNamesDerivation } from "./service-names.ts";

export interface DnsZoneConfig {
  /** Default `cluster.local`. */
  readonly clusterDomain?: string;
  /** Zones of `reverseZones(cidr)`: they get their own NS and SOA. PTR records are kept for all addresses. */
  readonly reverseZones?: readonly DomainName[];
  /** Seconds; default 5. */
  readonly ttl?: number;
  /** Default insecure, as cluster installers configure it. */
  readonly pods?: PodMode;
  /** Addresses of the name server, for NS records. */
  readonly addresses?: readonly Ip[];
  /** The first revision; give the current time in seconds, so that serials grow over restarts. Default 1. */
  readonly revision?: number;
}

/** The records of the cluster, kept current batch by batch. */
export class DnsZone {
  readonly #apex: ReadonlyMap<DomainName, NameRecords>;
  readonly #services: Derived<ObjectKey, ServiceNames>;
  readonly #namespaces: Derived<string, ReadonlyMap<DomainName, NameSource>>;
  readonly #claims = new PointerClaims();
  readonly #pointers: Derived<Ip, NameSource>;
  readonly #ttl: number;
  #revision: number;

  constructor(config: DnsZoneConfig = {}) {
    const zone = canonicalName(config.clusterDomain ?? "cluster.local");
    const ttl = config.ttl ?? 5;
    this.#revision = config.revision ?? 1;
    this.#apex = apexNames({ zone, ttl, reverseZones: config.reverseZones ?? [], addresses: config.addresses ?? ["127.0.0.1"] });
    this.#services = new Derived(serviceNamesDerivation({ zone, ttl }));
    this.#namespaces = new Derived(namespaceNamesDerivation({ zone, pods: config.pods ?? "insecure" }));
    this.#pointers = new Derived<Ip, NameSource>({
      affected: () => [],
      compute: (_, ip) => ({ plan: pointerSource(this.#claims.of(ip)), problems: [] }),
      equal: sameSource,
    });
    this.#ttl = ttl;
  }

  get revision(): number {
    return this.#revision;
  }

  problems(): Iterable<Problem> {
    return this.#services.problems();
  }

  /** What a batch changes, name by name. The revision grows only when something changed. */
  apply(batch: Batch): { readonly delta: RecordDelta; readonly problems: ProblemDelta } {
    const changed: Changed = { names: [], addresses: [] };
    const deletes: DomainName[] = [];
    const difference = (before?: ReadonlyMap<DomainName, NameSource>, after?: ReadonlyMap<DomainName, NameSource>): void => {
      if (before !== undefined) for (const name of before.keys()) if (after?.has(name) !== true) deletes.push(name);
      if (after === undefined) return;
      for (const [key, source] of after) {
        const old = before?.get(key);
        if (old === undefined || !sameSource(old, source)) changed.names.push([key, source]);
      }
    };

    for (const { before, after } of this.#namespaces.apply(batch).changed.values()) difference(before, after);
    const services = this.#services.apply(batch);
    const addresses = new Set<Ip>();
    for (const { before, after } of services.changed.values()) {
      difference(before?.names, after?.names);
      this.#claims.replace(before?.claims ?? [], after?.claims ?? [], addresses);
    }
    for (const [ip, { after }] of this.#pointers.recompute(batch.after, addresses).changed) {
      if (after === undefined) deletes.push(reverseName(ip));
      else changed.addresses.push([ip, after]);
    }
    if (changed.names.length > 0 || changed.addresses.length > 0 || deletes.length > 0) this.#revision++;
    return { delta: lazyDelta(this.#revision, changed, deletes, this.#ttl), problems: services.problems };
  }

  /** All names: what a new child starts from. */
  full(): RecordDelta {
    return { revision: this.#revision, full: true, upserts: Array.from(this.names()), deletes: [] };
  }

  /** The same one by one, for a stream that need not hold them all. */
  *names(): Iterable<NameUpsert> {
    for (const [key, records] of this.#apex) yield { key, records };
    for (const names of this.#namespaces.values.values()) yield* this.#upserts(names);
    for (const { names } of this.#services.values.values()) yield* this.#upserts(names);
    for (const [ip, source] of this.#pointers.values) yield { key: reverseName(ip), records: recordsOf(source, this.#ttl) };
  }

  *#upserts(names: ReadonlyMap<DomainName, NameSource>): Iterable<NameUpsert> {
    for (const [key, source] of names) yield { key, records: recordsOf(source, this.#ttl) };
  }
}

/** What a batch set, forward and reverse. */
interface Changed {
  readonly names: (readonly [key: DomainName, source: NameSource])[];
  readonly addresses: (readonly [ip: Ip, source: NameSource])[];
}

/** Makes the records when somebody asks for them: of a first list nobody does who is not given all names anyway. */
function lazyDelta(revision: number, changed: Changed, deletes: readonly DomainName[], ttl: number): RecordDelta {
  let made: readonly NameUpsert[] | undefined;
  return {
    revision,
    deletes,
    get upserts() {
      made ??= [
        ...changed.names.map(([key, source]) => ({ key, records: recordsOf(source, ttl) })),
        ...changed.addresses.map(([ip, source]) => ({ key: reverseName(ip), records: recordsOf(source, ttl) })),
      ];
      return made;
    },
  };
}
