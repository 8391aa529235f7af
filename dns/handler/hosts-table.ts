import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { HostsLine } from "../corefile/plugins/records.ts";
import { isParseError } from "../wire/errors.ts";
import { canonicalName, type DomainName, encodeName } from "../wire/name.ts";

/** Names and addresses of hosts(5) lines, both ways. */
export interface HostsTable {
  readonly addresses: ReadonlyMap<DomainName, readonly Ip[]>;
  readonly names: ReadonlyMap<Ip, readonly DomainName[]>;
}

/** Lines of a hosts file; what makes no sense is as if it were not there. */
export function parseHosts(text: string): readonly HostsLine[] {
  return text.split("\n").flatMap((line): HostsLine[] => {
    const [first, ...rest] = line.replace(/#.*/, "").trim().split(/\s+/);
    const ip = parseIp((first ?? "").replace(/%.*/, ""));
    const names = rest.filter(isName).map(canonicalName);
    return ip === undefined || names.length === 0 ? [] : [{ ip, names }];
  });
}

export function hostsTable(lines: readonly HostsLine[]): HostsTable {
  const addresses = new Map<DomainName, Ip[]>();
  const names = new Map<Ip, DomainName[]>();
  for (const line of lines) {
    for (const name of line.names) {
      addOnce(addresses, name, line.ip);
      addOnce(names, line.ip, name);
    }
  }
  return { addresses, names };
}

function addOnce<K, V>(to: Map<K, V[]>, key: K, value: V): void {
  const known = to.get(key);
  if (known === undefined) to.set(key, [value]);
  else if (!known.includes(value)) known.push(value);
}

function isName(text: string): boolean {
  try {
    encodeName(text);
    return text !== "";
  } catch (error) {
    if (isParseError(error)) return false;
    throw error;
  }
}
