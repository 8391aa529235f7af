import type { Reply } from "../filter/outcome.ts";
import type { ResponseHead } from "../filter/response-step.ts";
import type { HeaderField } from "../route/filter.ts";
import type { PassRule } from "../upstream/wire/header-block.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import { type HeaderEdits, headerEdits } from "./header-edits.ts";
import { reasonOf, statusPage } from "./status-page.ts";

/** An endpoint's head for the client: hop-by-hop headers are gone; `set` replaces what has the same name. */
export function outgoingHead(response: Http1Response, set: readonly HeaderField[], setCookie: string | undefined): ResponseHead {
  const headers = [...response.block.passingOf(ruleFor(response, headerEdits(set)), response.connectionTokens)];
  for (const h of set) headers.push(h.name, h.value);
  if (setCookie !== undefined) headers.push("Set-Cookie", setCookie);
  return { status: response.status, reason: response.reason, headers, framing: response.framing };
}

/** The headers of the same, as lines. */
export function outgoingLines(response: Http1Response, set: readonly HeaderField[], setCookie: string | undefined): string {
  const edits = headerEdits(set);
  const lines = response.block.linesOf(ruleFor(response, edits), response.connectionTokens) + edits.linesToClient;
  return setCookie === undefined ? lines : `${lines}Set-Cookie: ${setCookie}\r\n`;
}

function ruleFor({ status }: Http1Response, edits: HeaderEdits): PassRule {
  return status === 204 || status < 200 ? edits.bodilessToClient : edits.toClient;
}

export interface OwnResponse {
  readonly head: ResponseHead;
  /** Empty where none is allowed or none is due. */
  readonly body: Buffer;
}

/** An answer made here, with its page. */
export function ownResponse(
  reply: Reply,
  o: { readonly method: string; readonly date: Date; readonly requestId: string; readonly set: readonly HeaderField[] },
): OwnResponse {
  const page = Buffer.from(statusPage(reply.status), "latin1");
  const headers: string[] = ["Date", o.date.toUTCString()];
  if (page.length > 0) headers.push("Content-Type", "text/html");
  for (const h of [...reply.headers, ...o.set]) headers.push(h.name, h.value);
  headers.push("X-Request-ID", o.requestId);
  const bodiless = reply.status === 204 || reply.status === 304;
  if (!bodiless) headers.push("Content-Length", String(page.length));
  const body = bodiless || o.method === "HEAD" ? Buffer.alloc(0) : page;
  return {
    head: {
      status: reply.status,
      reason: reasonOf(reply.status),
      headers,
      framing: body.length === 0 ? { kind: "none" } : { kind: "length", bytes: body.length },
    },
    body,
  };
}
