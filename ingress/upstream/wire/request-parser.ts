import { type BodyFraming, declaredFraming, noBody } from "./body-framing.ts";
import { type HeaderBlock, parseHeaderBlock } from "./header-block.ts";
import { RecentTexts } from "./recent-texts.ts";
import { isToken, listTokens } from "./tokens.ts";

export interface HeadLimits {
  /** Bytes of request line and headers together. */
  readonly headBytes: number;
  readonly lineBytes: number;
  readonly headers: number;
}

export const defaultHeadLimits: HeadLimits = { headBytes: 64 * 1024, lineBytes: 16 * 1024, headers: 128 };

/** One HTTP/1 request head. Texts are latin1: one character a byte. */
export interface Http1Request {
  readonly method: string;
  /** Path and query as sent; `*` for OPTIONS of the server. */
  readonly target: string;
  /** The authority: from an absolute target, else the Host header; "" when a 1.0 client sent none. */
  readonly authority: string;
  readonly minor: 0 | 1;
  readonly names: readonly string[];
  readonly fields: readonly string[];
  /** The two, as they were read. */
  readonly block: HeaderBlock;
  readonly framing: BodyFraming;
  /** The client will take another response on this connection. */
  readonly keepAlive: boolean;
  /** Headers that Connection names; they end here. */
  readonly connectionTokens: readonly string[];
  /** The protocol of a valid wish to switch. */
  readonly upgrade: string | undefined;
  readonly expectContinue: boolean;
}

/** What the client is told before the connection is closed. */
export interface BadRequest {
  readonly status: 400 | 405 | 414 | 417 | 431 | 505;
  readonly fault: string;
}

/** `text` is the head in latin1 without the empty line that ends it. Never throws. */
export function parseRequestHead(text: string, limits: HeadLimits): Http1Request | BadRequest {
  let lineEnd = text.indexOf("\r\n");
  if (lineEnd < 0) lineEnd = text.length;
  if (lineEnd > limits.lineBytes) return { status: 414, fault: "the request line is too long" };
  const firstSpace = text.indexOf(" ");
  const secondSpace = text.indexOf(" ", firstSpace + 1);
  if (firstSpace <= 0 || secondSpace < 0 || secondSpace > lineEnd) return bad("the request line has not three parts");
  // the usual one as a constant, whose hash is known
  const method = text.startsWith("GET ") ? "GET" : text.slice(0, firstSpace);
  if (method !== "GET" && !isToken(method)) return bad("the method is no token");
  const rawTarget = text.slice(firstSpace + 1, secondSpace);
  const version = text.slice(secondSpace + 1, lineEnd);
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") {
    return /^HTTP\/[0-9]\.[0-9]$/.test(version) ? { status: 505, fault: "this HTTP version is not spoken here" } : bad("no HTTP version");
  }
  const minor = version === "HTTP/1.1" ? 1 : 0;
  if (rawTarget === "" || /[^!-~]|#/.test(rawTarget)) return bad("the target has a forbidden character");
  const said = recentFields.of(text.slice(lineEnd + 2), 2 * limits.headers + minor);
  if ("status" in said) return said;
  const target = splitTarget(method, rawTarget, said.host ?? "");
  if ("status" in target) return target;
  const { block, framing, keepAlive, connectionTokens, upgrade, expectContinue } = said;
  return {
    method,
    target: target.target,
    authority: target.authority,
    minor,
    names: block.names,
    fields: block.fields,
    block,
    framing,
    keepAlive,
    connectionTokens,
    upgrade,
    expectContinue,
  };
}

/** What the header fields of a request say, whatever is asked for. */
interface SaidByFields extends Pick<Http1Request, "block" | "framing" | "keepAlive" | "connectionTokens" | "upgrade" | "expectContinue"> {
  readonly host: string | undefined;
}

/** `terms`: twice the most headers, and one more for HTTP/1.1. */
const recentFields = new RecentTexts((text, terms) => readFields(text, terms >> 1, (terms & 1) as 0 | 1));

function readFields(text: string, maxHeaders: number, minor: 0 | 1): SaidByFields | BadRequest {
  const block = parseHeaderBlock(text, 0, maxHeaders);
  if ("fault" in block) return block.tooMany === true ? { status: 431, fault: block.fault } : bad(block.fault);
  const { fields } = block;
  let host: string | undefined;
  let connection = "";
  let upgrade: string | undefined;
  let expect: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] ?? "";
    switch (fields[i]) {
      case "host":
        if (host !== undefined) return bad("more than one Host");
        host = value;
        break;
      case "connection":
        connection = connection === "" ? value : `${connection},${value}`;
        break;
      case "upgrade":
        upgrade = upgrade === undefined ? value : `${upgrade}, ${value}`;
        break;
      case "expect":
        expect = value;
        break;
    }
  }
  if (host === undefined && minor === 1) return bad("no Host");
  if (host !== undefined && !isAuthority(host, true)) return bad("the Host is no host");
  const framing = declaredFraming(fields, minor);
  if (framing !== undefined && "fault" in framing) return bad(framing.fault);
  if (expect !== undefined && expect.toLowerCase() !== "100-continue")
    return { status: 417, fault: "an expectation other than 100-continue" };
  const tokens = connection === "" ? noTokens : listTokens(connection);
  const body = framing ?? noBody;
  const wantsUpgrade = minor === 1 && upgrade !== undefined && tokens.includes("upgrade") && upgrade.toLowerCase() !== "h2c";
  return {
    block,
    host,
    framing: body,
    keepAlive: minor === 1 ? !tokens.includes("close") : tokens.includes("keep-alive") && !tokens.includes("close"),
    connectionTokens: tokens,
    // a body beside the switch would leave open where the new protocol begins
    upgrade: wantsUpgrade && body.kind === "none" && isUpgradeList(upgrade ?? "") ? upgrade : undefined,
    expectContinue: expect !== undefined && minor === 1 && body.kind !== "none",
  };
}

const noTokens: readonly string[] = [];

function bad(fault: string): BadRequest {
  return { status: 400, fault };
}

function isUpgradeList(value: string): boolean {
  return listTokens(value).every((t) => t.split("/").every(isToken));
}

/** RFC 9112 section 3.2: origin-form, absolute-form, `*`; CONNECT is not for a reverse proxy. */
function splitTarget(method: string, target: string, host: string): { target: string; authority: string } | BadRequest {
  if (method === "CONNECT") return { status: 405, fault: "CONNECT is not served here" };
  if (target.charCodeAt(0) === 0x2f) return { target, authority: host };
  if (target === "*") return method === "OPTIONS" ? { target, authority: host } : bad("the target * is for OPTIONS");
  const absolute = /^https?:\/\/([^/?]*)(\/[^?]*)?(\?.*)?$/i.exec(target);
  if (absolute === null) return bad("the target has no form that HTTP knows");
  const authority = absolute[1] ?? "";
  if (authority === "" || !isAuthority(authority, false)) return bad("the target names no host");
  return { target: `${absolute[2] ?? "/"}${absolute[3] ?? ""}`, authority };
}

/** What a request line may carry as its target, in origin-form. */
export function isOriginTarget(target: string): boolean {
  return target.charCodeAt(0) === 0x2f && !/[^!-~]|#/.test(target);
}

/** `host`, `host:port`, `[v6]:port`; no user, no path. */
export function isAuthority(text: string, mayBeEmpty: boolean): boolean {
  if (text === "") return mayBeEmpty;
  return /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+,;=%-]{1,255})(?::[0-9]{0,5})?$/.test(text);
}
