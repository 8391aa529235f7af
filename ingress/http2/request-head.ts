import { type BodyFraming, declaredFraming } from "../upstream/wire/body-framing.ts";
import { HeaderBlock } from "../upstream/wire/header-block.ts";
import { connectionHeaders } from "../upstream/wire/hop-headers.ts";
import { isAuthority, isOriginTarget } from "../upstream/wire/request-parser.ts";
import { isToken } from "../upstream/wire/tokens.ts";
import type { FieldLine } from "./field-line.ts";
import { RecentFields } from "./recent-fields.ts";

/** The head of one request, checked: it could be sent on as HTTP/1.1. */
export interface RequestHead {
  readonly method: string;
  /** Path and query as sent; `*` for OPTIONS of the server. */
  readonly target: string;
  readonly authority: string;
  /** Of an extended CONNECT (RFC 8441); it is no CONNECT to a host. */
  readonly protocol: string | undefined;
  readonly said: SaidByFields;
}

/** What the fields of a request say, whatever is asked for. */
export interface SaidByFields {
  readonly block: HeaderBlock;
  /** By Content-Length; absent: it was not told. */
  readonly framing: BodyFraming | undefined;
  readonly host: string | undefined;
  readonly expectContinue: boolean;
}

/** Fields of one connection's requests, read. */
export class RequestHeads {
  readonly #recent = new RecentFields(readFields);
  #authority = "";

  /** Lines that are sound. `undefined`: no request (RFC 9113 section 8.1.1), or none that is served here. */
  read(lines: readonly FieldLine[]): RequestHead | undefined {
    let method: string | undefined;
    let scheme: string | undefined;
    let path: string | undefined;
    let named: string | undefined;
    let protocol: string | undefined;
    let pseudo = 0;
    for (const { name, value } of lines) {
      if (name.charCodeAt(0) !== 0x3a) break;
      pseudo++;
      if (name === ":method" && method === undefined) method = value;
      else if (name === ":scheme" && scheme === undefined) scheme = value;
      else if (name === ":path" && path === undefined) path = value;
      else if (name === ":authority" && named === undefined) named = value;
      else if (name === ":protocol" && protocol === undefined) protocol = value;
      else return undefined;
    }
    if (method === undefined || path === undefined || scheme === undefined || scheme === "") return undefined;
    if (method === "CONNECT" ? protocol === undefined || !isToken(protocol) : protocol !== undefined) return undefined;
    if (method !== "GET" && !isToken(method)) return undefined;
    if (!isOriginTarget(path) && !(path === "*" && method === "OPTIONS")) return undefined;
    const said = this.#recent.of(lines, pseudo, 0);
    const authority = named ?? said?.host;
    if (said === undefined || authority === undefined || !this.#isAuthority(authority)) return undefined;
    if (said.host !== undefined && said.host.toLowerCase() !== authority.toLowerCase()) return undefined;
    return { method: protocol === undefined ? method : "GET", target: path, authority, protocol, said };
  }

  #isAuthority(text: string): boolean {
    if (text === this.#authority) return true;
    if (!isAuthority(text, false)) return false;
    this.#authority = text;
    return true;
  }
}

function readFields(lines: readonly FieldLine[], from: number): SaidByFields | undefined {
  const names: string[] = [];
  const fields: string[] = [];
  let host: string | undefined;
  let cookieAt = -1;
  let expectContinue = false;
  for (let i = from; i < lines.length; i++) {
    const { name, value } = lines[i] ?? { name: "", value: "" };
    if (name.charCodeAt(0) === 0x3a || connectionHeaders.has(name)) return undefined;
    if (name === "te" && value.toLowerCase() !== "trailers") return undefined;
    if (name === "host") {
      if (host !== undefined) return undefined;
      host = value;
      continue;
    }
    if (name === "cookie") {
      // clients cut them up for their tables; HTTP/1.1 has one line (RFC 9113 section 8.2.3)
      if (cookieAt >= 0) {
        fields[cookieAt] += `; ${value}`;
        continue;
      }
      cookieAt = fields.length + 1;
    } else if (name === "expect" && value.toLowerCase() === "100-continue") expectContinue = true;
    names.push(name);
    fields.push(name, value);
  }
  const framing = declaredFraming(fields, 1);
  if (framing !== undefined && "fault" in framing) return undefined;
  return { block: new HeaderBlock(names, fields), framing, host, expectContinue };
}
