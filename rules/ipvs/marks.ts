import { fnv1a } from "../../src/base/hash.ts";
import { fwmarkBase, fwmarkDatagrams } from "./values.ts";

// a pool's number has the bits below those of the base, but for the one that says UDP, the masquerade bit 0x4000, and
// 0x8000, which kubelets drop
const low = 0x3fff;
const high = 0x7f;

/**
 * The mark of a pool that short-circuited senders use. It comes of the pool's name, so that a restart finds it again;
 * where another has it already, the next free one.
 */
export function markOf(poolId: string, datagrams: boolean, isTaken: (mark: number) => boolean): number {
  const start = fnv1a(poolId);
  for (let i = 0; ; i++) {
    const n = (start + i) >>> 0;
    const mark = fwmarkBase + (datagrams ? fwmarkDatagrams : 0) + (((n >>> 14) & high) << 16) + (n & low);
    if (!isTaken(mark)) return mark;
  }
}
