import { writeSync, writevSync } from "node:fs";

/**
 * Offers bytes to a socket's kernel buffer where they are. What it did not take comes back as a copy, so that their memory is the
 * caller's again; undefined: nothing is left.
 */
export function sendNow(descriptor: number, parts: readonly Buffer[]): Buffer | undefined {
  let sent = 0;
  try {
    const [only] = parts;
    sent = only !== undefined && parts.length === 1 ? writeSync(descriptor, only) : writevSync(descriptor, parts);
  } catch {
    // full, or broken: the write of the rest finds out
  }
  return restOf(parts, sent);
}

function restOf(parts: readonly Buffer[], sent: number): Buffer | undefined {
  let skip = sent;
  const left: Buffer[] = [];
  for (const part of parts) {
    if (skip < part.length) left.push(part.subarray(skip));
    skip = Math.max(0, skip - part.length);
  }
  return left.length === 0 ? undefined : Buffer.concat(left);
}
