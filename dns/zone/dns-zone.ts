import type { Ip } from "../../src/base/ip.ts";
import type { Batch, ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import { Derived, type ProblemDelta } from "../../src/snapshot/derivation.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { clustersetZones, clusterZones, forwardZones, servedZones } from "../config/served-zones.ts";
import { isReverseZone, type ZonesConfig } from "../config/zone-config.ts";
import { canonicalName, type DomainName, isInZone } from "../wire/name.ts";
import { apexNames } from "./apex-names.ts";
import { Exposure } from "./exposure.ts";
import { externalNamesDerivation } from "./external-names.ts";
import { importNamesDerivation } from "./import-names.ts";
import { type NameSource, recordsOf, sameSource } from "./name-source.ts";
import { namespaceNamesDerivation } from "./namespace-names.ts";
import { PodAddresses } from "./pod-addresses.ts";
import { podName } from "./pod-names.ts";
import { PointerClaims, pointerSource, type ReverseOwner } from "./pointer-names.ts";
import type { NameEdit, NameRecords, NameUpsert, RecordDelta } from "./record-delta.ts";
import { editsOf } from "./record-edits.ts";
import { classlessNames, parseClasslessZone, reverseName } from "./reverse-zone.ts";
import { type ServiceNames, serviceNamesDerivation } from "./service-names.ts";

export interface DnsZoneConfig extends ZonesConfig {
  /** Addresses of the name server, for NS records. */
  readonly addresses?: readonly Ip[];
  /** The first revision; give the current time in seconds, so that serials grow over restarts. Default 1. */
  readonly revision?: number;
}

/** The names that Services have in one zone. */
interface ServiceTable {
  readonly names: Derived<ObjectKey, ServiceNames>;
  /** Whether addresses are called by its names. */
  readonly claims: boolean;
  /** Whether its problems are told: what an object does wrong is the same in each zone. */
  readonly tells: boolean;
}

/** The records of the cluster, kept current batch by batch. PTR records are kept for all addresses. */
export class DnsZone {
  readonly #apex: ReadonlyMap<DomainName, NameRecords>;
  readonly #services: readonly ServiceTable[];
  readonly #namespaces: Derived<string, ReadonlyMap<DomainName, NameSource>>;
  readonly #claims = new PointerClaims();
  readonly #pointers: Derived<Ip, NameSource>;
  readonly #reverseNames: (ip: Ip) => readonly DomainName[];
  /** Only where names of pods are verified. */
  readonly #pods: PodAddresses | undefined;
  readonly #podZones: readonly DomainName[];
  #revision: number;

  constructor(config: DnsZoneConfig = {}) {
    const { kubernetes = {}, external } = config;
    const zones = clusterZones(kubernetes);
    const clusterset = clustersetZones(kubernetes);
    const externalZones = forwardZones(external?.zones ?? []);
    const exposure = new Exposure(kubernetes);
    this.#revision = config.revision ?? 1;
    this.#apex = apexNames({ zones: servedZones(config), cluster: zones, clusterset, addresses: config.addresses ?? ["127.0.0.1"] });
    const tables: ServiceTable[] = [
      ...zones.map((zone, i) => ({
        names: new Derived(serviceNamesDerivation({ zone, exposure, kubernetes })),
        claims: i === 0,
        tells: i === 0,
      })),
      ...clusterset.map((zone, i) => ({
        names: new Derived(importNamesDerivation({ zone, exposure, kubernetes })),
        claims: i === 0,
        tells: i === 0,
      })),
    ];
    if (external !== undefined) {
      const reverse = external.zones.some(isReverseZone);
      for (const [i, zone] of externalZones.entries()) {
        const names = new Derived(externalNamesDerivation({ zone, exposure, kubernetes, external }));
        tables.push({ names, claims: i === 0 && reverse, tells: false });
      }
    }
    this.#services = tables;
    const pods = kubernetes.pods ?? "insecure";
    this.#namespaces = new Derived(namespaceNamesDerivation({ zones, clusterset, external: externalZones, pods, exposure }));
    this.#pods = pods === "verified" ? new PodAddresses(exposure) : undefined;
    this.#podZones = zones;

    const classless = [...(kubernetes.zones ?? []), ...(external?.zones ?? [])].flatMap((z) => parseClasslessZone(canonicalName(z)) ?? []);
    this.#reverseNames = (ip) => {
      const name = reverseName(ip);
      return classless.length === 0 ? [name] : [name, ...classlessNames(classless, name)];
    };
    const ownerOf = reverseOwner(config);
    this.#pointers = new Derived<Ip, NameSource>({
      affected: () => [],
      compute: (_, ip) => ({ plan: pointerSource(this.#claims.of(ip), ownerOf(ip)), problems: [] }),
      equal: sameSource,
    });
  }

  get revision(): number {
    return this.#revision;
  }

  *problems(): Iterable<Problem> {
    for (const { names, tells } of this.#services) if (tells) yield* names.problems();
  }

  /** What a batch changes, name by name. The revision grows only when something changed. */
  apply(batch: Batch): { readonly delta: RecordDelta; readonly problems: ProblemDelta } {
    const changed: ChangedName[] = [];
    const deletes: DomainName[] = [];
    const difference = (before?: ReadonlyMap<DomainName, NameSource>, after?: ReadonlyMap<DomainName, NameSource>): void => {
      if (before !== undefined) for (const name of before.keys()) if (after?.has(name) !== true) deletes.push(name);
      if (after === undefined) return;
      for (const [key, source] of after) {
        const old = before?.get(key);
        if (old === undefined || !sameSource(old, source)) changed.push({ key, source, before: old });
      }
    };

    for (const { before, after } of this.#namespaces.apply(batch).changed.values()) difference(before, after);
    const addresses = new Set<Ip>();
    const gained: Problem[] = [];
    const lost: Problem[] = [];
    for (const { names, claims, tells } of this.#services) {
      const services = names.apply(batch);
      if (tells) {
        gained.push(...services.problems.gained);
        lost.push(...services.problems.lost);
      }
      for (const { before, after } of services.changed.values()) {
        difference(before?.names, after?.names);
        if (claims) this.#claims.replace(before?.claims ?? [], after?.claims ?? [], addresses);
      }
    }
    for (const [ip, { after }] of this.#pointers.recompute(batch.after, addresses).changed) {
      for (const key of this.#reverseNames(ip)) {
        if (after === undefined) deletes.push(key);
        else changed.push({ key, source: after });
      }
    }
    for (const pod of this.#pods?.apply(batch) ?? []) {
      const there = this.#pods?.has(pod) === true;
      for (const zone of this.#podZones) {
        const { key, source } = podName(pod, zone);
        if (there) changed.push({ key, source });
        else deletes.push(key);
      }
    }
    if (changed.length > 0 || deletes.length > 0) this.#revision++;
    return { delta: lazyDelta(this.#revision, changed, deletes), problems: { gained, lost } };
  }

  /** All names: what a new child starts from. */
  full(): RecordDelta {
    return { revision: this.#revision, full: true, upserts: Array.from(this.names()), deletes: [] };
  }

  /** The same one by one, for a stream that need not hold them all. */
  *names(): Iterable<NameUpsert> {
    for (const [key, records] of this.#apex) yield { key, records };
    for (const names of this.#namespaces.values.values()) yield* upserts(names);
    for (const { names: table } of this.#services) for (const { names } of table.values.values()) yield* upserts(names);
    for (const [ip, source] of this.#pointers.values) for (const key of this.#reverseNames(ip)) yield { key, records: recordsOf(source) };
    for (const pod of this.#pods?.all() ?? []) {
      for (const zone of this.#podZones) {
        const { key, source } = podName(pod, zone);
        yield { key, records: recordsOf(source) };
      }
    }
  }
}

function* upserts(names: ReadonlyMap<DomainName, NameSource>): Iterable<NameUpsert> {
  for (const [key, source] of names) yield { key, records: recordsOf(source) };
}

/** By the longest reverse zone that has the address; the cluster's where none has. */
function reverseOwner({ kubernetes = {}, external }: ZonesConfig): (ip: Ip) => ReverseOwner {
  const reverse = (external?.zones ?? []).filter(isReverseZone).map(canonicalName);
  if (reverse.length === 0) return () => "cluster";
  const own = (kubernetes.zones ?? []).filter(isReverseZone).map(canonicalName);
  const longest = (zones: readonly DomainName[], name: DomainName): number =>
    Math.max(-1, ...zones.filter((zone) => isInZone(name, zone)).map((zone) => zone.length));
  return (ip) => {
    const name = reverseName(ip);
    return longest(reverse, name) > longest(own, name) ? "external" : "cluster";
  };
}

/** A name that a batch set. */
interface ChangedName {
  readonly key: DomainName;
  readonly source: NameSource;
  /** Where it is known, and the name was there. */
  readonly before?: NameSource | undefined;
}

/** Makes the records when somebody asks for them: of a first list nobody does who is not given all names anyway. */
function lazyDelta(revision: number, changed: readonly ChangedName[], deletes: readonly DomainName[]): RecordDelta {
  let made: Pick<Required<RecordDelta>, "upserts" | "edits"> | undefined;
  const make = (): NonNullable<typeof made> => {
    const upserts: NameUpsert[] = [];
    const edits: NameEdit[] = [];
    for (const { key, source, before } of changed) {
      const sets = before?.kind === "records" && source.kind === "records" ? editsOf(before.records, source.records) : undefined;
      if (sets === undefined) upserts.push({ key, records: recordsOf(source) });
      else edits.push({ key, sets });
    }
    return { upserts, edits };
  };
  return {
    revision,
    deletes,
    get upserts() {
      made ??= make();
      return made.upserts;
    },
    get edits() {
      made ??= make();
      return made.edits;
    },
  };
}
