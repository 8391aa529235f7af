import { isFieldValue, isToken } from "../upstream/wire/tokens.ts";

/** A field line of HTTP/2: the name in lower case, or that of a pseudo-header; latin1. Those of the tables are the same object each time. */
export interface FieldLine {
  readonly name: string;
  readonly value: string;
  /** As tables and limits count it (RFC 7541 section 4.1). */
  readonly size: number;
  /** RFC 9113 section 8.2.1: the name and the value may stand in a message. */
  readonly sound: boolean;
}

/** What a line costs beside its letters. */
const overhead = 32;

export function fieldLine(name: string, value: string): FieldLine {
  return { name, value, size: fieldSize(name, value), sound: isSound(name, value) };
}

export function fieldSize(name: string, value: string): number {
  return name.length + value.length + overhead;
}

function isSound(name: string, value: string): boolean {
  const token = name.startsWith(":") ? name.slice(1) : name;
  return isToken(token) && token === token.toLowerCase() && isFieldValue(value) && !isBlank(value, 0) && !isBlank(value, value.length - 1);
}

function isBlank(value: string, at: number): boolean {
  const code = value.charCodeAt(at);
  return code === 0x20 || code === 0x09;
}
