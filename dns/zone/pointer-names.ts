import type { Ip } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";
import { changedPart } from "./changed-part.ts";
import type { NameSource } from "./name-source.ts";

/** A Service's wish to be what an address is called: an endpoint, or the Service itself for an address that is its own. */
export interface PointerClaim {
  readonly ip: Ip;
  readonly name: DomainName;
  /** What the address is to the Service; absent: an endpoint's. */
  readonly as?: "cluster-ip" | "external" | "external-endpoint" | "imported" | "imported-endpoint";
}

const none: readonly PointerClaim[] = [];

/** Who claims which address: what the second derivation, keyed by address, computes from. */
export class PointerClaims {
  readonly #byIp = new Map<Ip, readonly PointerClaim[]>();

  /** Takes one Service's change, and adds the addresses whose claims may differ to `dirty`. */
  replace(before: readonly PointerClaim[], after: readonly PointerClaim[], dirty: Set<Ip>): void {
    // claims of slices that did not change are the same objects
    const changed = changedPart(before, after, (a, b) => a === b);
    this.#replace(changed.before, changed.after, dirty);
  }

  #replace(before: readonly PointerClaim[], after: readonly PointerClaim[], dirty: Set<Ip>): void {
    const kept = before.length === 0 ? undefined : new Set(after);
    const known = before.length === 0 ? undefined : new Set(before);
    for (const claim of before) {
      if (kept?.has(claim) === true) continue;
      const own = this.#byIp.get(claim.ip) ?? none;
      // most have one claim, of which another takes the place: a key that is deleted and set again makes a Map's chains longer
      const rest = own.filter((c) => c !== claim);
      this.#byIp.set(claim.ip, rest.length === 0 ? none : rest);
      dirty.add(claim.ip);
    }
    for (const claim of after) {
      if (known?.has(claim) === true) continue;
      const others = this.#byIp.get(claim.ip);
      this.#byIp.set(claim.ip, others === undefined || others.length === 0 ? [claim] : others.concat(claim));
      dirty.add(claim.ip);
    }
    for (const claim of before) if (this.#byIp.get(claim.ip) === none) this.#byIp.delete(claim.ip);
  }

  of(ip: Ip): readonly PointerClaim[] {
    return this.#byIp.get(ip) ?? [];
  }
}

/** Whose reverse zone the address is in: there the names of that plugin come first. */
export type ReverseOwner = "cluster" | "external";

/**
 * What an address is called: by the Services whose cluster IP it is, else by those that are reached at it from outside, else by
 * all Services that have it as an endpoint, else by what is imported from other clusters; each name once, sorted.
 */
export function pointerSource(claims: readonly PointerClaim[], owner: ReverseOwner): NameSource | undefined {
  const [first] = claims;
  if (first === undefined) return undefined;
  if (claims.length === 1) return { kind: "pointer", targets: [first.name] };
  const best = Math.min(...claims.map((c) => rankOf(c, owner)));
  const targets = Array.from(new Set(claims.filter((c) => rankOf(c, owner) === best).map((c) => c.name)));
  return { kind: "pointer", targets: targets.sort() };
}

function rankOf({ as }: PointerClaim, owner: ReverseOwner): number {
  if (as === "cluster-ip") return 0;
  if (as === "external") return 1;
  // the cluster's own names of an address come first (KEP-1645, limitations of PTR records)
  if (as === "imported") return 4;
  if (as === "imported-endpoint") return 5;
  return (as === "external-endpoint") === (owner === "external") ? 2 : 3;
}
