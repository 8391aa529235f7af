import type { TextPart } from "../route/request-text.ts";
import type { Parsed } from "./annotation-values.ts";

const variables: Readonly<Record<string, TextPart>> = {
  remote_addr: { kind: "clientIp" },
  binary_remote_addr: { kind: "clientIp" },
  proxy_add_x_forwarded_for: { kind: "forwardedFor" },
  scheme: { kind: "scheme" },
  pass_access_scheme: { kind: "scheme" },
  host: { kind: "host" },
  best_http_host: { kind: "authority" },
  http_host: { kind: "authority" },
  uri: { kind: "path" },
  request_uri: { kind: "uri" },
  escaped_request_uri: { kind: "escapedUri" },
  request_method: { kind: "method" },
  the_real_ip: { kind: "clientIp" },
  args: { kind: "queryString" },
  query_string: { kind: "queryString" },
  is_args: { kind: "isArgs" },
  server_port: { kind: "port" },
  pass_port: { kind: "port" },
  pass_server_port: { kind: "port" },
  https: { kind: "https" },
  request_id: { kind: "requestId" },
  req_id: { kind: "requestId" },
  msec: { kind: "seconds" },
  content_type: { kind: "header", name: "content-type" },
  content_length: { kind: "header", name: "content-length" },
  namespace: { kind: "route", name: "namespace" },
  ingress_name: { kind: "route", name: "ingress" },
  service_name: { kind: "route", name: "service" },
  service_port: { kind: "route", name: "servicePort" },
  location_path: { kind: "route", name: "path" },
  proxy_upstream_name: { kind: "route", name: "upstream" },
  server_name: { kind: "route", name: "server" },
};

/** Text with nginx's variables, of which those that tell of the request and of its route are known, and `$1`…`$9` of its path. */
export function parseRequestText(text: string): Parsed<readonly TextPart[]> {
  return parseParts(text, () => false);
}

/** The same for what replaces a pattern: `$1`…`$9` stay as they are. */
export function parseTemplate(text: string): Parsed<readonly TextPart[]> {
  return parseParts(text, (name) => /^[1-9]$/.test(name));
}

function parseParts(text: string, stays: (name: string) => boolean): Parsed<readonly TextPart[]> {
  return parseWith(text, (name, piece): TextPart | undefined => {
    if (stays(name)) return { kind: "text", text: piece };
    return /^[1-9]$/.test(name) ? { kind: "group", number: Number(name) } : requestPart(name);
  });
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

/** What a variable of nginx says of a request, or of its route. */
export function requestPart(name: string): TextPart | undefined {
  const known = variables[name];
  if (known !== undefined) return known;
  if (name.startsWith("http_")) return { kind: "header", name: name.slice(5).replaceAll("_", "-") };
  if (name.startsWith("cookie_")) return { kind: "cookie", name: name.slice(7) };
  if (name.startsWith("arg_")) return { kind: "query", name: name.slice(4) };
  return undefined;
}
