import type { HeaderField } from "../route/filter.ts";
import type { BodyFraming } from "../upstream/wire/body-framing.ts";
import type { IncomingRequest } from "./downstream.ts";
import { type ClientIdentity, printForwarding, replacedHeaders } from "./forwarded.ts";
import { goesOn, isAmbiguous } from "./hop-headers.ts";

export interface UpstreamHeadOptions {
  readonly target: string;
  readonly host: string;
  /** What the endpoint is told of the client. */
  readonly client: ClientIdentity;
  readonly requestId: string;
  /** Further headers of ours, which replace the client's of the same name. */
  readonly set: readonly HeaderField[];
  readonly framing: BodyFraming;
}

/** The head of the request as the endpoint gets it. */
export function printUpstreamHead(r: IncomingRequest, o: UpstreamHeadOptions): string {
  let text = `${r.method} ${o.target} HTTP/1.1\r\nHost: ${o.host}\r\n`;
  const { names, fields } = r;
  const own = o.set.length > 0 ? new Set(o.set.map((h) => h.name.toLowerCase())) : replacedHeaders;
  for (let i = 0; i < names.length; i++) {
    const name = fields[2 * i] ?? "";
    if (name === "host" || name === "expect" || name === "content-length" || !goesOn(name, r.connectionTokens)) continue;
    if (replacedHeaders.has(name) || own.has(name) || isAmbiguous(name)) continue;
    text += `${names[i]}: ${fields[2 * i + 1]}\r\n`;
  }
  text += printForwarding(o.client, o.requestId);
  for (const h of o.set) if (h.value !== "") text += `${h.name}: ${h.value}\r\n`;
  if (o.framing.kind === "length") text += `Content-Length: ${o.framing.bytes}\r\n`;
  else if (o.framing.kind === "chunked") text += "Transfer-Encoding: chunked\r\n";
  if (r.upgrade !== undefined) text += `Connection: Upgrade\r\nUpgrade: ${r.upgrade}\r\n`;
  return `${text}\r\n`;
}

/** RFC 9110 section 9.2.2: may be sent again when it is not known whether the first was acted upon. */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}

const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND"]);
