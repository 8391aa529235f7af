import type { HeaderField } from "../route/filter.ts";
import type { UpstreamHead } from "../upstream/upstream-channel.ts";
import type { PassRule } from "../upstream/wire/header-block.ts";
import { connectionHeaders } from "../upstream/wire/hop-headers.ts";
import type { IncomingRequest } from "./downstream.ts";
import { type ClientIdentity, forwardingHeaders, printForwarding } from "./forwarded.ts";
import { type HeaderEdits, headerEdits } from "./header-edits.ts";

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
  const edits = headerEdits(o.set);
  let text = `${r.method} ${o.target} HTTP/1.1\r\nHost: ${o.host}\r\n${r.block.linesOf(ruleOf(edits, o), r.connectionTokens)}`;
  text += printForwarding(o.client, o.requestId) + edits.linesToEndpoint;
  if (r.framing.kind === "length") text += `Content-Length: ${r.framing.bytes}\r\n`;
  else if (r.framing.kind === "chunked") text += "Transfer-Encoding: chunked\r\n";
  if (r.upgrade === undefined && o.connection !== undefined) text += `Connection: ${o.connection}\r\n`;
  if (r.upgrade !== undefined) text += `Connection: Upgrade\r\nUpgrade: ${r.upgrade}\r\n`;
  return `${text}\r\n`;
}

function http2Fields(r: IncomingRequest, o: UpstreamHeadOptions): readonly string[] {
  const out = [":method", r.method, ":path", o.target, ":authority", o.host];
  const rule = ruleOf(headerEdits(o.set), o);
  for (let i = 0; i < r.fields.length; i += 2) {
    const name = r.fields[i] ?? "";
    if (rule(name, r.connectionTokens)) out.push(name, r.fields[i + 1] ?? "");
    // the one transfer coding that HTTP/2 lets a client speak of; gRPC asks for it
    else if (name === "te" && r.fields[i + 1]?.toLowerCase() === "trailers") out.push("te", "trailers");
  }
  for (const h of [...forwardingHeaders(o.client, o.requestId), ...o.set]) {
    const name = h.name.toLowerCase();
    // what a route sets may be of HTTP/1.1 only
    if (h.value !== "" && !connectionHeaders.has(name)) out.push(name, h.value);
  }
  if (r.framing.kind === "length") out.push("content-length", String(r.framing.bytes));
  return out;
}

function ruleOf(edits: HeaderEdits, o: UpstreamHeadOptions): PassRule {
  return o.underscores === true ? edits.underscoredToEndpoint : edits.toEndpoint;
}

/** RFC 9110 section 9.2.2: may be sent again when it is not known whether the first was acted upon. */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}

const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND"]);
