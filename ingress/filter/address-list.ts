import { type Cidr, cidrContains, parseCidr } from "../../src/base/cidr.ts";
import { parseIp } from "../../src/base/ip.ts";
import type { FilterOf } from "../route/filter.ts";
import type { FilteredRequest, FilterOutcome } from "./outcome.ts";

export function applyAddressList(f: FilterOf<"addressList">, r: FilteredRequest): FilterOutcome | undefined {
  const allowed = !isInside(f.deny, r.clientIp) && (f.allow.length === 0 || isInside(f.allow, r.clientIp));
  return allowed ? undefined : { reply: { status: 403, headers: [], by: "addressList" } };
}

const parsed = new WeakMap<readonly string[], readonly Cidr[]>();

/** True when the address is in one of the ranges (`address/bits`; others count as empty). */
export function isInside(ranges: readonly string[], ip: string): boolean {
  if (ranges.length === 0) return false;
  let cidrs = parsed.get(ranges);
  if (cidrs === undefined) {
    cidrs = ranges.map((r) => parseCidr(r)).filter((c) => c !== undefined);
    parsed.set(ranges, cidrs);
  }
  const address = parseIp(ip);
  return address !== undefined && cidrs.some((c) => cidrContains(c, address));
}
