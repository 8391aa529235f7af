import type { TextPart } from "../route/request-text.ts";
import type { Parsed } from "./annotation-values.ts";

const variables: Readonly<Record<string, TextPart>> = {
  remote_addr: { kind: "clientIp" },
  binary_remote_addr: { kind: "clientIp" },
  scheme: { kind: "scheme" },
  pass_access_scheme: { kind: "scheme" },
  host: { kind: "host" },
  best_http_host: { kind: "authority" },
  http_host: { kind: "authority" },
  uri: { kind: "path" },
  request_uri: { kind: "uri" },
  escaped_request_uri: { kind: "escapedUri" },
  request_method: { kind: "method" },
};

/** Text with nginx's variables, of which those that tell of the request are known. */
export function parseRequestText(text: string): Parsed<readonly TextPart[]> {
  return parseParts(text, () => false);
}

/** The same for what replaces a pattern: `$1`…`$9` stay as they are. */
export function parseTemplate(text: string): Parsed<readonly TextPart[]> {
  return parseParts(text, (name) => /^[1-9]$/.test(name));
}

function parseParts(text: string, stays: (name: string) => boolean): Parsed<readonly TextPart[]> {
  return parseWith(text, (name, piece): TextPart | undefined => (stays(name) ? { kind: "text", text: piece } : requestPart(name)));
}

/** Text whose variables are what `partOf` gives for their names, in lower case; one that gives nothing is not known. */
export function parseWith<T>(text: string, partOf: (name: string, piece: string) => T | undefined): Parsed<readonly (T | TextPart)[]> {
  const parts: (T | TextPart)[] = [];
  for (const piece of text.match(/\$\{?[a-z0-9_]+\}?|[^$]+|\$/gi) ?? []) {
    const name = /^\$\{?([a-z0-9_]+)\}?$/i.exec(piece)?.[1]?.toLowerCase();
    const part = name === undefined ? ({ kind: "text", text: piece } as const) : partOf(name, piece);
    if (part === undefined) return { expected: `text with variables that are known here ($${name ?? ""} is not)` };
    parts.push(part);
  }
  return parts;
}

/** What a variable of nginx says of a request. */
export function requestPart(name: string): TextPart | undefined {
  const known = variables[name];
  if (known !== undefined) return known;
  if (name.startsWith("http_")) return { kind: "header", name: name.slice(5).replaceAll("_", "-") };
  if (name.startsWith("cookie_")) return { kind: "cookie", name: name.slice(7) };
  if (name.startsWith("arg_")) return { kind: "query", name: name.slice(4) };
  return undefined;
}
