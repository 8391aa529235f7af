import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { MessageCache } from "../cache/message-cache.ts";
import type { WireForm } from "../cache/wire-form.ts";
import { flagBitsOf, wireKey } from "../cache/wire-key.ts";
import type { PluginConfig } from "../corefile/plugin-order.ts";
import { flagBits, headerBytes } from "../wire/message.ts";
import { typeNumbers } from "../wire/record-type.ts";
import type { CacheObserver } from "./cached.ts";

/** A query of one question of class IN that was found in order, as bytes. */
export interface PlainQuery {
  readonly bytes: Uint8Array;
  /** Behind type and class of the question. */
  readonly questionEnd: number;
  readonly type: number;
  readonly dnssecOk: boolean;
  /** Bytes that the answer may have, without its OPT record. */
  readonly limit: number;
  readonly client: Ip;
}

/** Writes a cached answer without OPT record, and returns its length; undefined for what the chain has to answer. */
export type CachedNow = (query: PlainQuery, out: Uint8Array) => number | undefined;

/** Whether all that a block does to a cached answer is what `answerCachedNow` does: those behind the cache had their say before. */
export function isCacheDirect(plugins: readonly PluginConfig[]): boolean {
  return plugins.every((p) => {
    switch (p.plugin) {
      case "local":
      case "dns64":
      case "acl":
      case "view":
        return false;
      case "log":
        return p.classes.every((c) => c === "error");
      case "loadbalance":
        return p.policy.kind === "round_robin" && p.prefer.length === 0;
      default:
        return true;
    }
  });
}

export interface CachedNowOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly observe: CacheObserver;
  readonly isServed: (client: Ip) => boolean;
  readonly offersRecursion: (client: Ip) => boolean;
  /** The order of addresses changes. */
  readonly isBalanced: boolean;
}

/**
 * Answers from the bytes of a cache, without an object for each record: what the chain of such a block would say, at a seventh of
 * the cost. What is over or nearly so, or not kept, is left to the chain.
 */
export function answerCachedNow(cache: MessageCache, options: CachedNowOptions): CachedNow {
  const { clock, random, observe, isServed, offersRecursion, isBalanced } = options;
  return (query, out) => {
    const { bytes, questionEnd, type, client } = query;
    if (type === typeNumbers.ANY || !isServed(client)) return undefined;
    const flags = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
    const bits = flagBitsOf({
      dnssecOk: query.dnssecOk,
      checkingDisabled: (flags & flagBits.cd) !== 0,
      authenticData: (flags & flagBits.ad) !== 0,
    });
    const hit = cache.wire(wireKey(bytes, headerBytes, questionEnd - 4, type, bits), clock.monotonic());
    if (hit === undefined) return undefined;
    const { form } = hit;
    if (form.bytes.length > query.limit || (isBalanced && form.isMixed)) return undefined;
    observe.hit(hit.kind === "success" ? "success" : "denial");
    copyRecords(form, isBalanced ? Math.floor(random() * (form.rotated?.count ?? 1)) : 0, out);
    out[0] = bytes[0] ?? 0;
    out[1] = bytes[1] ?? 0;
    const kept = ((form.bytes[2] ?? 0) << 8) | (form.bytes[3] ?? 0);
    const own = (kept & ~(flagBits.rd | flagBits.cd | flagBits.ra)) | (flags & (flagBits.rd | flagBits.cd));
    const answered = own | (offersRecursion(client) ? flagBits.ra : 0);
    out[2] = answered >>> 8;
    out[3] = answered;
    for (let i = headerBytes; i < questionEnd; i++) out[i] = bytes[i] ?? 0;
    if (hit.age > 0) for (const at of form.ttls) age(out, at, hit.age);
    return form.bytes.length;
  };
}

/** All behind the question; addresses begin with the `first`. */
function copyRecords({ bytes, questionEnd, rotated }: WireForm, first: number, out: Uint8Array): void {
  for (let i = 4; i < headerBytes; i++) out[i] = bytes[i] ?? 0;
  for (let i = questionEnd; i < bytes.length; i++) out[i] = bytes[i] ?? 0;
  if (rotated === undefined || first === 0) return;
  const { at, stride, count } = rotated;
  const all = stride * count;
  for (let i = 0, from = first * stride; i < all; i++, from++) out[at + i] = bytes[at + (from < all ? from : from - all)] ?? 0;
}

/** Takes seconds from the TTL at `at`. */
function age(out: Uint8Array, at: number, seconds: number): void {
  const ttl = (((out[at] ?? 0) << 24) | ((out[at + 1] ?? 0) << 16) | ((out[at + 2] ?? 0) << 8) | (out[at + 3] ?? 0)) >>> 0;
  const left = Math.max(0, ttl - seconds);
  out[at] = left >>> 24;
  out[at + 1] = left >>> 16;
  out[at + 2] = left >>> 8;
  out[at + 3] = left;
}
