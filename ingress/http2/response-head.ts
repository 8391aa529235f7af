import { type BodyFraming, declaredFraming, noBody } from "../upstream/wire/body-framing.ts";
import { HeaderBlock } from "../upstream/wire/header-block.ts";
import { connectionHeaders } from "../upstream/wire/hop-headers.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import type { FieldLine } from "./field-line.ts";
import { RecentFields } from "./recent-fields.ts";

const terms = { answersHead: 1, last: 2 } as const;

/** Fields of one connection's answers, read, in the words of HTTP/1, which all that follows speaks. */
export class ResponseHeads {
  readonly #recent = new RecentFields(readHead);

  /**
   * Lines that are sound. `undefined`: no head of an answer (RFC 9113 section 8.1.1), or one whose end contradicts it. `last`: nothing
   * follows.
   */
  read(lines: readonly FieldLine[], o: { readonly answersHead: boolean; readonly last: boolean }): Http1Response | undefined {
    return this.#recent.of(lines, 0, (o.answersHead ? terms.answersHead : 0) | (o.last ? terms.last : 0));
  }
}

function readHead(lines: readonly FieldLine[], _from: number, of: number): Http1Response | undefined {
  const [first, ...others] = lines;
  const status = first?.name === ":status" && /^[1-9][0-9]{2}$/.test(first.value) ? Number(first.value) : 0;
  const last = (of & terms.last) !== 0;
  // 101 is none of HTTP/2, and an answer does not end before it has begun
  if (status === 0 || status === 101 || (status < 200 && last)) return undefined;
  const names: string[] = [];
  const fields: string[] = [];
  for (const { name, value } of others) {
    if (name.charCodeAt(0) === 0x3a || connectionHeaders.has(name)) return undefined;
    names.push(name);
    fields.push(name, value);
  }
  const framing = framingOf(status, fields, { answersHead: (of & terms.answersHead) !== 0, last });
  if (framing === undefined) return undefined;
  const block = new HeaderBlock(names, fields);
  return { status, reason: "", names, fields, block, framing, keepAlive: true, connectionTokens: noTokens, idleSeconds: undefined };
}

const noTokens: readonly string[] = [];
const nothing: BodyFraming = { kind: "length", bytes: 0 };
const untold: BodyFraming = { kind: "chunked" };

function framingOf(
  status: number,
  fields: readonly string[],
  o: { readonly answersHead: boolean; readonly last: boolean },
): BodyFraming | undefined {
  const declared = declaredFraming(fields, 1);
  if (declared !== undefined && "fault" in declared) return undefined;
  if (o.answersHead || status < 200 || status === 204 || status === 304) return noBody;
  const bytes = declared?.kind === "length" ? declared.bytes : undefined;
  if (o.last) return bytes === undefined || bytes === 0 ? nothing : undefined;
  return bytes === undefined ? untold : { kind: "length", bytes, trailed: true };
}
