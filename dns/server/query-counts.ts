import type { Ip } from "../../src/base/ip.ts";
import type { DnsTransport } from "../answer/edns-answers.ts";
import { printRcode, printType, typeNumbers } from "../wire/record-type.ts";
import { durationBounds, MetricHistogram, sizeBounds } from "./metric-histogram.ts";

/** Types counted by name, as CoreDNS counts them; all others are `other`. */
const countedTypes = new Set<number>(
  (["A", "AAAA", "MX", "SOA", "CNAME", "PTR", "TXT", "NS", "SRV", "DS", "DNSKEY", "RRSIG", "NSEC", "NSEC3", "HTTPS", "ANY"] as const).map(
    (name) => typeNumbers[name],
  ),
);
const typeSlots = 258;
const protocols = ["udp", "tcp"] as const;

/** The queries of one listener. Counting touches arrays only: it happens on the hot path. */
export class QueryCounts {
  /** By protocol, family and type. */
  readonly #requests = new Float64Array(4 * typeSlots);
  readonly #responses = new Map<string, Float64Array>();
  readonly times = new MetricHistogram(durationBounds);
  readonly #requestSizes = { udp: new MetricHistogram(sizeBounds), tcp: new MetricHistogram(sizeBounds) };
  readonly #responseSizes = { udp: new MetricHistogram(sizeBounds), tcp: new MetricHistogram(sizeBounds) };

  /** `bytes` of the query. */
  count(
    q: { readonly transport: DnsTransport; readonly client: Ip; readonly type: number; readonly bytes: number },
    rcode: number,
    plugin: string,
    ms: number,
  ): void {
    const type = countedTypes.has(q.type) ? q.type : 0;
    const at = ((q.transport === "udp" ? 0 : 1) * 2 + (q.client.includes(":") ? 1 : 0)) * typeSlots + type;
    this.#requests[at] = (this.#requests[at] ?? 0) + 1;
    let codes = this.#responses.get(plugin);
    if (codes === undefined) {
      codes = new Float64Array(32);
      this.#responses.set(plugin, codes);
    }
    codes[rcode & 31] = (codes[rcode & 31] ?? 0) + 1;
    this.times.observe(ms / 1000);
    this.#requestSizes[q.transport === "udp" ? "udp" : "tcp"].observe(q.bytes);
  }

  /** Bytes of an answer that is sent. */
  sent(transport: DnsTransport, bytes: number): void {
    this.#responseSizes[transport === "udp" ? "udp" : "tcp"].observe(bytes);
  }

  requests(tell: (labels: string, value: number) => void): void {
    for (const [i, n] of this.#requests.entries()) {
      if (n === 0) continue;
      const kind = Math.floor(i / typeSlots);
      const type = i % typeSlots;
      tell(`proto="${kind < 2 ? "udp" : "tcp"}",family="${(kind & 1) + 1}",type="${type === 0 ? "other" : printType(type)}"`, n);
    }
  }

  responses(tell: (labels: string, value: number) => void): void {
    for (const [plugin, codes] of this.#responses) {
      for (const [rcode, n] of codes.entries()) if (n > 0) tell(`rcode="${printRcode(rcode)}",plugin="${plugin}"`, n);
    }
  }

  *sizeLines(side: "request" | "response", labels: string): Iterable<string> {
    const sizes = side === "request" ? this.#requestSizes : this.#responseSizes;
    for (const proto of protocols)
      if (!sizes[proto].isEmpty) yield* sizes[proto].lines(`coredns_dns_${side}_size_bytes`, `${labels},proto="${proto}"`);
  }
}
