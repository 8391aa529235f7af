import type { FieldLine } from "../http2/field-line.ts";
import { connectionHeaders } from "./wire/hop-headers.ts";
import { RecentTexts } from "./wire/recent-texts.ts";
import { headerName } from "./wire/tokens.ts";

const recentLines = new RecentTexts((text) => readLines(text));

/** Header lines of HTTP/1, each with its CRLF, as fields of HTTP/2: flat. The same text seldom gives another array; none may be changed. */
export function fieldsOfLines(lines: string): readonly string[] {
  return lines === "" ? noFields : recentLines.of(lines, 0);
}

const noFields: readonly string[] = [];

function readLines(text: string): readonly string[] {
  const fields: string[] = [];
  for (let at = 0; at < text.length; ) {
    let end = text.indexOf("\r\n", at);
    if (end < 0) end = text.length;
    const colon = text.indexOf(":", at);
    const name = colon < 0 || colon > end ? undefined : headerName(text, at, colon)?.lower;
    if (name !== undefined && !connectionHeaders.has(name)) fields.push(name, text.slice(colon + 1, end).trim());
    at = end + 2;
  }
  return fields;
}

/** Flat headers with names as they were sent, as fields of HTTP/2. */
export function fieldsOfHeaders(headers: readonly string[]): readonly string[] {
  const fields: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? "").toLowerCase();
    if (!connectionHeaders.has(name)) fields.push(name, headers[i + 1] ?? "");
  }
  return fields;
}

/** Trailers of HTTP/2 as lines of HTTP/1. */
export function linesOfFields(lines: readonly FieldLine[]): string {
  let text = "";
  for (const { name, value } of lines) text += `${text === "" ? "" : "\r\n"}${name}: ${value}`;
  return text;
}
