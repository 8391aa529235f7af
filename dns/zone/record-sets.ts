import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";
import type { RecordData } from "../wire/record.ts";
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

/** A port behind a name. */
export interface SrvTarget {
  readonly target: DomainName;
  readonly port: number;
}

/**
 * One record per target name and port, whose weights share 100 over all addresses behind them (at least 1 each, as CoreDNS has
 * it). No set for no targets.
 */
export function srvSets(targets: readonly SrvTarget[]): readonly RecordSet[] {
  const [only, ...more] = targets;
  if (only === undefined) return [];
  const weight = Math.max(1, Math.floor(100 / targets.length));
  if (more.length === 0) return [{ data: [{ kind: "SRV", priority: 0, weight, port: only.port, target: only.target }] }];
  const data: RecordData[] = [];
  const portsOf = new Map<DomainName, number[]>();
  for (const { target, port } of targets) {
    const known = portsOf.get(target);
    if (known === undefined) portsOf.set(target, [port]);
    else if (known.includes(port)) continue;
    else known.push(port);
    data.push({ kind: "SRV", priority: 0, weight, port, target });
  }
  return [{ data }];
}

/** Equal in data and order. */
export function sameRecords(a: NameRecords, b: NameRecords): boolean {
  if (a === b) return true;
  return a.podAddresses === b.podAddresses && sameList(a.sets, b.sets, sameSet);
}

function sameSet(a: RecordSet, b: RecordSet): boolean {
  return a === b || (a.ttl === b.ttl && sameList(a.data, b.data, sameData));
}

export function sameData(a: RecordData, b: RecordData): boolean {
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
