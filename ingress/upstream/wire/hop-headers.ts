import { parseHeaderBlock } from "./header-block.ts";

/** RFC 9110 section 7.6.1: headers of one hop, which end here whatever Connection says. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** RFC 9113 section 8.2.2: of connections of HTTP/1.1; a message of HTTP/2 has none of them. */
export const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** True when a header goes on to the next hop; `named` are the tokens of Connection. */
export function goesOn(name: string, named: readonly string[]): boolean {
  return !hopByHop.has(name) && (named.length === 0 || !named.includes(name) || keptAlways.has(name));
}

/** A sender may not use Connection to strip what routing, framing and identity rest on. */
const keptAlways: ReadonlySet<string> = new Set(["host", "content-length", "authorization", "cookie"]);

/**
 * A name that others may take for another one: CGI and what descends from it make no difference between `_` and `-`, so that
 * `X_Real_IP` could stand in for what this proxy says of the client. nginx drops all of them as well.
 */
export function isAmbiguous(name: string): boolean {
  return name.includes("_");
}

/** Trailer lines that may go on: well-formed, and none that a recipient could take for framing, routing or identity. */
export function safeTrailers(text: string): string {
  if (text === "") return "";
  const block = parseHeaderBlock(text, 0, 64);
  if ("fault" in block) return "";
  let out = "";
  for (const [i, name] of block.names.entries()) {
    const lower = block.fields[2 * i] ?? "";
    if (!goesOn(lower, []) || keptAlways.has(lower) || isAmbiguous(lower)) continue;
    out += `${name}: ${block.fields[2 * i + 1]}\r\n`;
  }
  return out;
}
