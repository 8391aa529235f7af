import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";
import type { RecordData, ResourceRecord } from "../wire/record.ts";
import { classIn } from "../wire/record-type.ts";
import type { NameRecords, RecordSet } from "./record-delta.ts";

/** A and AAAA, each address once. */
export function addressSets(ips: readonly Ip[]): readonly RecordSet[] {
  const [only, ...more] = ips;
  if (only !== undefined && more.length === 0) return [{ data: [addressData(only)] }];
  const sets: RecordSet[] = [];
  for (const kind of ["A", "AAAA"] as const) {
    const own = new Set(ips.filter((ip) => (ipFamily(ip) === 4) === (kind === "A")));
    if (own.size > 0) sets.push({ data: Array.from(own, (ip): RecordData => ({ kind, ip })) });
  }
  return sets;
}

function addressData(ip: Ip): RecordData {
  return { kind: ipFamily(ip) === 4 ? "A" : "AAAA", ip };
}

/** A port behind a name that has an address. */
export interface SrvTarget {
  readonly target: DomainName;
  readonly ip: Ip;
  readonly port: number;
}

/**
 * One record per target name and port, whose weights share 100 over all addresses behind them (at least 1 each, as CoreDNS has
 * it), and each target's addresses as additional records. No set for no targets.
 */
export function srvSets(targets: readonly SrvTarget[], ttl: number): readonly RecordSet[] {
  const [only, ...more] = targets;
  if (only === undefined) return [];
  if (more.length === 0) {
    const { target, port, ip } = only;
    const additional = [{ name: target, class: classIn, ttl, data: addressData(ip) }];
    return [{ data: [{ kind: "SRV", priority: 0, weight: 100, port, target }], additional }];
  }
  const weight = Math.max(1, Math.floor(100 / targets.length));
  const data = new Map<string, RecordData>();
  const additional = new Map<string, ResourceRecord>();
  for (const { target, ip, port } of targets) {
    data.set(`${port} ${target}`, { kind: "SRV", priority: 0, weight, port, target });
    additional.set(`${ip} ${target}`, { name: target, class: classIn, ttl, data: addressData(ip) });
  }
  return [{ data: Array.from(data.values()), additional: Array.from(additional.values()) }];
}

/** Equal in data and order. */
export function sameRecords(a: NameRecords, b: NameRecords): boolean {
  if (a === b) return true;
  return a.podAddresses === b.podAddresses && sameList(a.sets, b.sets, sameSet);
}

function sameSet(a: RecordSet, b: RecordSet): boolean {
  return a === b || (a.ttl === b.ttl && sameList(a.data, b.data, sameData) && sameList(a.additional ?? [], b.additional ?? [], sameRecord));
}

function sameRecord(a: ResourceRecord, b: ResourceRecord): boolean {
  return a === b || (a.name === b.name && a.ttl === b.ttl && a.class === b.class && sameData(a.data, b.data));
}

function sameData(a: RecordData, b: RecordData): boolean {
  if (a === b) return true;
  if ((a.kind === "A" || a.kind === "AAAA") && (b.kind === "A" || b.kind === "AAAA")) return a.ip === b.ip;
  if (a.kind === "SRV" && b.kind === "SRV") {
    return a.target === b.target && a.port === b.port && a.weight === b.weight && a.priority === b.priority;
  }
  // all others come one to a name
  return a.kind === b.kind && JSON.stringify(a) === JSON.stringify(b);
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    const x = a[i];
    const y = b[i];
    if (x === undefined || y === undefined || !same(x, y)) return false;
  }
  return true;
}
