import type { Ip } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";
import type { NameRecords } from "./record-delta.ts";

/** A Service's wish to be what an address is called. */
export interface PointerClaim {
  /** Address and target: equal claims have equal ids. */
  readonly id: string;
  readonly ip: Ip;
  readonly target: DomainName;
  readonly from: "cluster-ip" | "endpoint";
}

/** Who claims which address: what the second derivation, keyed by address, computes from. */
export class PointerClaims {
  readonly #byIp = new Map<Ip, readonly PointerClaim[]>();

  /** Takes one Service's change, and adds the addresses whose claims differ to `dirty`. */
  replace(before: readonly PointerClaim[], after: readonly PointerClaim[], dirty: Set<Ip>): void {
    const kept = new Set(after.map((c) => c.id));
    const known = new Set(before.map((c) => c.id));
    for (const claim of before) {
      if (kept.has(claim.id)) continue;
      const rest = (this.#byIp.get(claim.ip) ?? []).filter((c) => c.id !== claim.id);
      if (rest.length === 0) this.#byIp.delete(claim.ip);
      else this.#byIp.set(claim.ip, rest);
      dirty.add(claim.ip);
    }
    for (const claim of after) {
      if (known.has(claim.id)) continue;
      const others = this.#byIp.get(claim.ip);
      this.#byIp.set(claim.ip, others === undefined ? [claim] : [...others, claim]);
      dirty.add(claim.ip);
    }
  }

  of(ip: Ip): readonly PointerClaim[] {
    return this.#byIp.get(ip) ?? [];
  }
}

/**
 * What an address is called: by the Services whose cluster IP it is, else by all Services that have it as an endpoint; each name
 * once, sorted.
 */
export function pointerRecords(claims: readonly PointerClaim[]): NameRecords | undefined {
  const own = claims.filter((c) => c.from === "cluster-ip");
  const targets = new Set((own.length > 0 ? own : claims).map((c) => c.target));
  if (targets.size === 0) return undefined;
  const data = Array.from(targets)
    .sort()
    .map((target) => ({ kind: "PTR", target }) as const);
  return { sets: [{ data }] };
}
