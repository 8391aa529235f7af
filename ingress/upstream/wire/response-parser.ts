import { type BodyFraming, declaredFraming, noBody } from "./body-framing.ts";
import { type HeaderBlock, parseHeaderBlock } from "./header-block.ts";
import { RecentTexts } from "./recent-texts.ts";
import { isFieldValue, listTokens } from "./tokens.ts";

/** One HTTP/1 response head. Texts are latin1. */
export interface Http1Response {
  readonly status: number;
  readonly reason: string;
  readonly names: readonly string[];
  readonly fields: readonly string[];
  /** The two, as they were read. */
  readonly block: HeaderBlock;
  readonly framing: BodyFraming;
  readonly keepAlive: boolean;
  readonly connectionTokens: readonly string[];
  /** Seconds from `Keep-Alive: timeout=`, if the server says so. */
  readonly idleSeconds: number | undefined;
}

export interface BadResponse {
  readonly fault: string;
}

/** `text` is the head without the empty line; `method` is that of the request it answers. Never throws. */
export function parseResponseHead(text: string, method: string, maxHeaders: number): Http1Response | BadResponse {
  return recentHeads.of(text, 2 * maxHeaders + (method === "HEAD" ? 1 : 0));
}

/** `terms`: twice the most headers, and one more for what answers HEAD. */
const recentHeads = new RecentTexts((text, terms) => readHead(text, (terms & 1) === 1, terms >> 1));

function readHead(text: string, answersHead: boolean, maxHeaders: number): Http1Response | BadResponse {
  let lineEnd = text.indexOf("\r\n");
  if (lineEnd < 0) lineEnd = text.length;
  const status = statusOf(text, lineEnd);
  const reason = lineEnd > 13 ? text.slice(13, lineEnd) : "";
  if (status === undefined || !isFieldValue(reason)) return { fault: "no HTTP/1 status line" };
  const minor = text.charCodeAt(7) - 0x30;
  const block = parseHeaderBlock(text, lineEnd + 2, maxHeaders);
  if ("fault" in block) return block;
  const { names, fields } = block;
  let connection = "";
  let idleSeconds: number | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] ?? "";
    if (fields[i] === "connection") connection = connection === "" ? value : `${connection},${value}`;
    else if (fields[i] === "keep-alive") {
      const timeout = /(?:^|[,;\s])timeout=([0-9]{1,6})/i.exec(value)?.[1];
      if (timeout !== undefined) idleSeconds = Number(timeout);
    }
  }
  const tokens = connection === "" ? noTokens : listTokens(connection);
  const declared = declaredFraming(fields, minor);
  if (declared !== undefined && "fault" in declared) return { fault: declared.fault };
  const bodiless = answersHead || status === 204 || status === 304 || status < 200;
  const framing: BodyFraming = bodiless ? noBody : (declared ?? { kind: "close" });
  const keepAlive = framing.kind !== "close" && (minor === 1 ? !tokens.includes("close") : tokens.includes("keep-alive"));
  return { status, reason, names, fields, block, framing, keepAlive, connectionTokens: tokens, idleSeconds };
}

const noTokens: readonly string[] = [];

/** The status of `HTTP/1.x NNN[ reason]`, which ends at `lineEnd`. */
function statusOf(text: string, lineEnd: number): number | undefined {
  if (!text.startsWith("HTTP/1.") || lineEnd < 12 || (lineEnd > 12 && text.charCodeAt(12) !== 0x20)) return undefined;
  const minor = text.charCodeAt(7);
  if ((minor !== 0x30 && minor !== 0x31) || text.charCodeAt(8) !== 0x20) return undefined;
  const [a, b, c] = [text.charCodeAt(9) - 0x30, text.charCodeAt(10) - 0x30, text.charCodeAt(11) - 0x30];
  return a >= 1 && a <= 9 && b >= 0 && b <= 9 && c >= 0 && c <= 9 ? a * 100 + b * 10 + c : undefined;
}
