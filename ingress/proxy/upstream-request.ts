import type { HeaderField } from "../route/filter.ts";
import type { UpstreamHead } from "../upstream/upstream-channel.ts";
import type { IncomingRequest } from "./downstream.ts";
import { type ClientIdentity, forwardingHeaders, printForwarding, replacedHeaders } from "./forwarded.ts";
import { goesOn, isAmbiguous } from "./hop-headers.ts";

export interface UpstreamHeadOptions {
  readonly target: string;
  readonly host: string;
  /** What the endpoint is told of the client. */
  readonly client: ClientIdentity;
  readonly requestId: string;
  /** Sent as Connection over HTTP/1. */
  readonly connection?: string | undefined;
  /** Headers with `_` in their names go on too. */
  readonly underscores?: boolean | undefined;
  /** Further headers of ours, which replace the client's of the same name. */
  readonly set: readonly HeaderField[];
}

/** The head of the request as the endpoint gets it, in whichever protocol it speaks. */
export function upstreamHead(r: IncomingRequest, o: UpstreamHeadOptions): UpstreamHead {
  return {
    method: r.method,
    switching: r.upgrade !== undefined,
    framing: r.framing,
    text: () => printHttp1(r, o),
    fields: () => http2Fields(r, o),
  };
}

function printHttp1(r: IncomingRequest, o: UpstreamHeadOptions): string {
  let text = `${r.method} ${o.target} HTTP/1.1\r\nHost: ${o.host}\r\n`;
  const { names, fields } = r;
  const own = o.set.length > 0 ? namesOf(o.set) : replacedHeaders;
  for (let i = 0; i < names.length; i++) {
    const name = fields[2 * i] ?? "";
    if (!passes(name, r.connectionTokens, own) || (isAmbiguous(name) && !mayPassFor(name, own, o))) continue;
    text += `${names[i]}: ${fields[2 * i + 1]}\r\n`;
  }
  text += printForwarding(o.client, o.requestId);
  for (const h of o.set) if (h.value !== "") text += `${h.name}: ${h.value}\r\n`;
  if (r.framing.kind === "length") text += `Content-Length: ${r.framing.bytes}\r\n`;
  else if (r.framing.kind === "chunked") text += "Transfer-Encoding: chunked\r\n";
  if (r.upgrade === undefined && o.connection !== undefined) text += `Connection: ${o.connection}\r\n`;
  if (r.upgrade !== undefined) text += `Connection: Upgrade\r\nUpgrade: ${r.upgrade}\r\n`;
  return `${text}\r\n`;
}

function http2Fields(r: IncomingRequest, o: UpstreamHeadOptions): readonly string[] {
  const out = [":method", r.method, ":path", o.target, ":authority", o.host];
  const own = namesOf(o.set);
  for (let i = 0; i < r.fields.length; i += 2) {
    const name = r.fields[i] ?? "";
    if (passes(name, r.connectionTokens, own) && (!isAmbiguous(name) || mayPassFor(name, own, o))) out.push(name, r.fields[i + 1] ?? "");
    // the one transfer coding that HTTP/2 lets a client speak of; gRPC asks for it
    else if (name === "te" && r.fields[i + 1]?.toLowerCase() === "trailers") out.push("te", "trailers");
  }
  for (const h of [...forwardingHeaders(o.client, o.requestId), ...o.set]) if (h.value !== "") out.push(h.name.toLowerCase(), h.value);
  if (r.framing.kind === "length") out.push("content-length", String(r.framing.bytes));
  return out;
}

/** A name with `_` goes on where that is asked for, but not as one that this proxy sets. */
function mayPassFor(name: string, own: ReadonlySet<string>, o: UpstreamHeadOptions): boolean {
  const other = name.replaceAll("_", "-");
  return o.underscores === true && !replacedHeaders.has(other) && !own.has(other);
}

function namesOf(set: readonly HeaderField[]): ReadonlySet<string> {
  return new Set(set.map((h) => h.name.toLowerCase()));
}

function passes(name: string, named: readonly string[], own: ReadonlySet<string>): boolean {
  if (name === "host" || name === "expect" || name === "content-length" || !goesOn(name, named)) return false;
  return !replacedHeaders.has(name) && !own.has(name);
}

/** RFC 9110 section 9.2.2: may be sent again when it is not known whether the first was acted upon. */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}

const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND"]);
