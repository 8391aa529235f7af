import { type Ip, ipFamily } from "../../base/ip.ts";

/**
 * Addresses for what has none before the change is made: Pods that do not run yet, Services that get one when they are created.
 * They are from the ranges for benchmarks (RFC 2544, RFC 5180), which no cluster has, and are told by name, never as addresses.
 */
export class StandIns {
  readonly #names = new Map<Ip, string>();

  /** `name` is what is printed instead, in angle brackets. */
  address(family: "IPv4" | "IPv6", name: string): Ip {
    const n = this.#names.size + 1;
    const ip = family === "IPv4" ? `198.18.${n >> 8}.${n & 255}` : `2001:2::${n.toString(16)}`;
    this.#names.set(ip, name);
    return ip;
  }

  /** A text with names in the place of addresses, of the labels that stand for them in DNS, and of their reverse names. */
  told(text: string): string {
    if (this.#names.size === 0 || !/198[.-]18|18\.198|2001:2::|2001-2--|2\.0\.0\.0\.1\.0\.0\.2/.test(text)) return text;
    let out = text;
    // longest first: 198.18.0.1 is in 198.18.0.12
    for (const [ip, name] of [...this.#names].sort(([a], [b]) => b.length - a.length)) {
      const label = ip.replaceAll(ipFamily(ip) === 4 ? "." : ":", "-");
      const reverse = ipFamily(ip) === 4 ? ip.split(".").reverse().join(".") : reverse6(ip);
      for (const form of [ip.includes(":") ? `[${ip}]` : ip, reverse, label, ip]) out = out.replaceAll(form, `<${name}>`);
    }
    return out;
  }

  /** The same for all texts of a value. */
  toldIn<T>(value: T): T {
    return this.#names.size === 0
      ? value
      : (JSON.parse(JSON.stringify(value), (_, v: unknown) => (typeof v === "string" ? this.told(v) : v)) as T);
  }

  isStandIn(ip: Ip): boolean {
    return this.#names.has(ip);
  }
}

/** Only `2001:2::n` are asked for. */
function reverse6(ip: Ip): string {
  const last = (ip.split("::")[1] ?? "").padStart(4, "0");
  const digits = `20010002${"0".repeat(20)}${last}`;
  return Array.from(digits).reverse().join(".");
}
