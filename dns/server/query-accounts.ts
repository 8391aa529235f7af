import type { Ip } from "../../src/base/ip.ts";
import { readName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";

/** Clients that are told apart; when there are more, those that asked least are forgotten. */
const maxClients = 4096;
/** Names that are counted at once. */
const maxNames = 512;
/**
 * One query of so many has its name looked at: reading it costs as much as the answer. A prime, because queries come in patterns of
 * two (A and AAAA) times the steps of a search path, of which a sample in the same step would always see the same name.
 */
const sampleEvery = 61;
/** So many names are counted one by one before. */
const exactFirst = 4096;
const headerBytes = 12;
/** What is printed, the most first. */
const printedClients = 100;
const printedNames = 50;

/** Of one client: queries, those that only walk a search path, and those of them that `ndots:1` would save. */
interface Account {
  queries: number;
  misses: number;
  saved: number;
}

/**
 * Who asks what, and how much of it is search path. Exact per client; per name exact at first, then an estimate (space-saving, of a sample). The memory is
 * bounded, and a query costs a look-up in a map of clients.
 */
export class QueryAccounts {
  readonly #clients = new Map<Ip, Account>();
  readonly #names = new Map<string, number>();
  /** Labels of the cluster's zones, from the right: `local`, `cluster`. */
  readonly #zones: readonly Uint8Array[];
  #turn = 0;

  /** `zones` are forward zones on the wire, in lower case. */
  constructor(zones: readonly Uint8Array[]) {
    this.#zones = zones;
  }

  /** Counts a query whose first question stands whole in `query[0..n)`. */
  count(client: Ip, query: Uint8Array, n: number, rcode: number): void {
    let account = this.#clients.get(client);
    if (account === undefined) {
      if (this.#clients.size >= maxClients) this.#forgetQuiet();
      account = { queries: 0, misses: 0, saved: 0 };
      this.#clients.set(client, account);
    }
    account.queries++;
    if (rcode === rcodes.NXDOMAIN) {
      const labels = this.#searchedLabels(query, n);
      if (labels >= 1) account.misses++;
      if (labels >= 2) account.saved++;
    }
    if (this.#turn < exactFirst) this.#countName(query, n, 1);
    else if (this.#turn % sampleEvery === 0) this.#countName(query, n, sampleEvery);
    this.#turn++;
  }

  /** Prometheus text. */
  print(): string {
    const lines: string[] = [];
    const family = (name: string, help: string): void => void lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} counter`);
    const clients = Array.from(this.#clients)
      .sort(([, a], [, b]) => b.queries - a.queries)
      .slice(0, printedClients);
    for (const [name, help, field] of [
      ["fairway_dns_client_queries_total", "Queries of the clients that ask most.", "queries"],
      [
        "fairway_dns_client_search_misses_total",
        "Queries for names of the cluster that do not exist: steps along a search path.",
        "misses",
      ],
      ["fairway_dns_client_ndots_savings_total", "Of those, the ones for names with a dot, which ndots:1 would save.", "saved"],
    ] as const) {
      family(name, help);
      for (const [client, account] of clients) lines.push(`${name}{client="${client}"} ${account[field]}`);
    }
    family(
      "fairway_dns_name_queries_total",
      `Queries for the names that are asked for most: ${exactFirst} exactly, then estimated of one in ${sampleEvery}.`,
    );
    const names = Array.from(this.#names)
      .sort(([, a], [, b]) => b - a)
      .slice(0, printedNames);
    for (const [name, count] of names) lines.push(`fairway_dns_name_queries_total{name="${name.replace(/[\\"]/g, "\\$&")}"} ${count}`);
    return `${lines.join("\n")}\n`;
  }

  /** Of a name that was searched for in the cluster's zones, the labels before the search path's; 0 for other names. */
  #searchedLabels(query: Uint8Array, n: number): number {
    let labels = 0;
    let services = false;
    for (let at = headerBytes; at < n && (query[at] ?? 0) !== 0; at += 1 + (query[at] ?? 0)) {
      if (this.#isZoneAt(query, at)) return services ? Math.max(1, labels - 2) : labels;
      // of `<name>.<namespace>.svc.<zone>` two labels are the path's
      services = isSvc(query, at);
      labels++;
    }
    return 0;
  }

  /** Plain loops: each query for a name that does not exist comes here, at each of its labels. */
  #isZoneAt(query: Uint8Array, at: number): boolean {
    for (const zone of this.#zones) {
      let i = 0;
      while (i < zone.length && zone[i] === lower(query[at + i] ?? 0)) i++;
      if (i === zone.length) return true;
    }
    return false;
  }

  #countName(query: Uint8Array, n: number, weight: number): void {
    let name: string;
    try {
      ({ name } = readName(query, headerBytes, n));
    } catch {
      return;
    }
    name = name.toLowerCase();
    const known = this.#names.get(name);
    if (known !== undefined || this.#names.size < maxNames) {
      this.#names.set(name, (known ?? 0) + weight);
      return;
    }
    // a new name takes the place of the rarest, and its count (Metwally and others, Efficient computation of frequent and top-k
    // elements in data streams, 2005): what is frequent stays
    let least: readonly [name: string, count: number] | undefined;
    for (const entry of this.#names) if (least === undefined || entry[1] < least[1]) least = entry;
    if (least === undefined) return;
    this.#names.delete(least[0]);
    this.#names.set(name, least[1] + weight);
  }

  #forgetQuiet(): void {
    const counts = Array.from(this.#clients.values(), (a) => a.queries).sort((a, b) => a - b);
    const middle = counts[counts.length >> 1] ?? 0;
    let left = this.#clients.size >> 1;
    for (const [client, { queries }] of this.#clients) {
      if (left === 0) return;
      if (queries > middle) continue;
      this.#clients.delete(client);
      left--;
    }
  }
}

function lower(b: number): number {
  return b >= 0x41 && b <= 0x5a ? b + 32 : b;
}

function isSvc(query: Uint8Array, at: number): boolean {
  return query[at] === 3 && lower(query[at + 1] ?? 0) === 0x73 && lower(query[at + 2] ?? 0) === 0x76 && lower(query[at + 3] ?? 0) === 0x63;
}
