import type { Rev } from "./store.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const quote = 0x22;

/** What every object has, whatever its kind. */
export interface StorableObject {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
  readonly metadata?: object;
}

/** Everything before the digits of the resourceVersion: the same for all objects of a kind. */
export function objectHead(apiVersion: string, kind: string): string {
  return `{"apiVersion":${JSON.stringify(apiVersion)},"kind":${JSON.stringify(kind)},"metadata":{"resourceVersion":"`;
}

/**
 * Canonical JSON: apiVersion, kind, then metadata with the resourceVersion first, so that its place is known without
 * parsing. What the object says of its resourceVersion is ignored.
 */
export function encodeObject(head: string, object: StorableObject, rev: Rev): Uint8Array {
  const { metadata, apiVersion: _a, kind: _k, ...rest } = object;
  const meta = JSON.stringify(metadata === undefined ? {} : { ...metadata, resourceVersion: undefined });
  const body = JSON.stringify(rest);
  return encoder.encode(`${head}${rev}"${meta === "{}" ? "}" : `,${meta.slice(1)}`}${body === "{}" ? "}" : `,${body.slice(1)}`}`);
}

export function decodeObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  return JSON.parse(decoder.decode(bytes));
}

/** The same object at another revision: a copy with other digits. `head` is what encodeObject was given. */
export function withRev(head: string, bytes: Uint8Array, rev: Rev): Uint8Array {
  const from = head.length; // a head is ASCII: group, version and kind are
  const to = bytes.indexOf(quote, from);
  const digits = encoder.encode(String(rev));
  const out = new Uint8Array(bytes.length - (to - from) + digits.length);
  out.set(bytes.subarray(0, from));
  out.set(digits, from);
  out.set(bytes.subarray(to), from + digits.length);
  return out;
}
