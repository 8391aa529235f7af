import type { Ip } from "../../src/base/ip.ts";
import type { NameRecords } from "./record-delta.ts";
import type { PointerClaim, ServiceNames } from "./service-names.ts";

/** Who claims which address: what the second derivation, keyed by address, computes from. */
export class PointerClaims {
  readonly #byIp = new Map<Ip, readonly PointerClaim[]>();

  /** Takes a Service's change, and adds the addresses whose claims may differ to `dirty`. */
  replace(before: ServiceNames | undefined, after: ServiceNames | undefined, dirty: Set<Ip>): void {
    for (const claim of before?.claims ?? []) {
      const rest = (this.#byIp.get(claim.ip) ?? []).filter((c) => c.target !== claim.target);
      if (rest.length === 0) this.#byIp.delete(claim.ip);
      else this.#byIp.set(claim.ip, rest);
      dirty.add(claim.ip);
    }
    for (const claim of after?.claims ?? []) {
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
  return {
    sets: [
      {
        data: Array.from(targets)
          .sort()
          .map((target) => ({ kind: "PTR", target }) as const),
      },
    ],
  };
}
