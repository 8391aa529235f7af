import { patternFault } from "../route/pattern.ts";
import type { TextPart } from "../route/request-text.ts";
import type { TextChange } from "../route/route.ts";
import { isBad, type Parsed } from "./annotation-values.ts";
import { parseTemplate } from "./request-text.ts";

/** One side of a change: text without spaces, in which variables may stand. `off` and `default` change nothing. */
export type ChangeSide = { readonly kind: "off" } | { readonly kind: "text"; readonly text: string; readonly parts: readonly TextPart[] };

export function parseChange(text: string): Parsed<ChangeSide> {
  if (text === "off" || text === "default") return { kind: "off" };
  if (!/^[!-~]+$/.test(text)) return { expected: "off, or text without spaces" };
  const fault = text.startsWith("~") ? patternFault(text.replace(/^~\*?/, "")) : undefined;
  if (fault !== undefined) return { expected: `a regular expression of RE2 behind its ~ (${fault})` };
  const parts = parseTemplate(text);
  return isBad(parts) ? parts : { kind: "text", text, parts };
}

/** `off`, or what is there and what takes its place. */
export function parsePairChange(text: string): Parsed<{ readonly from: ChangeSide; readonly to: ChangeSide }> {
  const [first = "", second, ...more] = text.split(/\s+/);
  if (first === "off" && second === undefined) return { from: { kind: "off" }, to: { kind: "off" } };
  if (second === undefined || more.length > 0) return { expected: "off, or two words: what is there and what takes its place" };
  const from = parseChange(first);
  const to = parseChange(second);
  if (isBad(from)) return from;
  return isBad(to) ? to : { from, to };
}

/** `~` begins a regular expression, `~*` one in any case; `undefined` for a change that is off. */
export function changeOf(kind: "prefix" | "whole", from: ChangeSide, to: ChangeSide): TextChange | undefined {
  if (from.kind === "off" || to.kind === "off") return undefined;
  const regex = /^~(\*?)(.*)$/.exec(from.text);
  if (regex === null) return { kind, from: from.parts, to: to.parts };
  const [, star, pattern = ""] = regex;
  return { kind: "regex", pattern, ignoreCase: star === "*", to: to.parts };
}
