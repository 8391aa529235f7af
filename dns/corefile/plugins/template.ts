import type { DomainName } from "../../wire/name.ts";
import { classAny, parseClass, parseRcode, parseType, rcodes, typeNumbers } from "../../wire/record-type.ts";
import type { Directive } from "../corefile.ts";
import { readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, type Fallthrough, readFallthrough, zonesOr } from "./block-context.ts";

/** A piece of a template: text, or what stands in its place. */
export type TemplatePart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "field"; readonly name: "Name" | "Zone" | "Class" | "Type" | "Match" | "Remote" | "Id" }
  /** A group of the pattern by number or name. */
  | { readonly kind: "group"; readonly group: string; readonly base?: number }
  | { readonly kind: "metadata"; readonly label: string };

export type Template = readonly TemplatePart[];

export interface TemplateConfig {
  readonly plugin: "template";
  /** `classAny`: all. */
  readonly class: number;
  /** ANY: all. */
  readonly type: number;
  readonly zones: readonly DomainName[];
  readonly match: readonly RegExp[];
  readonly answer: readonly Template[];
  readonly authority: readonly Template[];
  readonly additional: readonly Template[];
  readonly rcode: number;
  readonly extendedError?: { readonly code: number; readonly text: string };
  readonly fallthrough?: Fallthrough;
}

export function readTemplate(d: Directive, block: BlockContext): TemplateConfig {
  const words = wordsOf(d);
  const classText = words.take("a class");
  const typeText = words.take("a type");
  const rrClass = parseClass(classText) ?? words.fail(`${classText} is not a class`);
  const type = parseType(typeText) ?? words.fail(`${typeText} is not a record type`);
  const zones = zonesOr(words, block);
  const match: RegExp[] = [];
  const sections = { answer: [] as Template[], authority: [] as Template[], additional: [] as Template[] };
  let rcode: number = rcodes.NOERROR;
  let fallthrough: Fallthrough | undefined;
  let extendedError: TemplateConfig["extendedError"];
  const section = (of: keyof typeof sections) => (w: Words) =>
    void sections[of].push(...w.some("a record").map((t) => parseTemplate(t, w)));
  readOptions(d, {
    match: (w) => void match.push(...w.some("a pattern").map((t) => w.regexOf(t))),
    answer: section("answer"),
    authority: section("authority"),
    additional: section("additional"),
    rcode: (w) => {
      const text = w.take("a response code");
      rcode = parseRcode(text) ?? w.fail(`${text} is not a response code`);
    },
    ederror: (w) => void (extendedError = { code: w.integer("a code", 0, 0xffff), text: w.rest().join(" ") }),
    fallthrough: (w) => void (fallthrough = readFallthrough(w)),
    upstream: (w) => void w.rest(),
  });
  return {
    plugin: "template",
    class: rrClass === classAny ? classAny : rrClass,
    type: type === typeNumbers.ANY ? typeNumbers.ANY : type,
    zones,
    match: match.length === 0 ? [/.*/s] : match,
    ...sections,
    rcode,
    ...(extendedError === undefined ? {} : { extendedError }),
    ...(fallthrough === undefined ? {} : { fallthrough }),
  };
}

const fields = ["Name", "Zone", "Class", "Type", "Match", "Remote"] as const;

function parseTemplate(text: string, w: Words): Template {
  const parts: TemplatePart[] = [];
  let at = 0;
  for (const match of text.matchAll(/\{\{-?\s*(.*?)\s*-?\}\}/g)) {
    if (match.index > at) parts.push({ kind: "text", text: text.slice(at, match.index) });
    parts.push(parseAction(match[1] ?? "", w));
    at = match.index + match[0].length;
  }
  if (text.slice(at).includes("{{")) w.fail(`${text}: {{ is not closed`);
  if (at < text.length) parts.push({ kind: "text", text: text.slice(at) });
  return parts;
}

function parseAction(action: string, w: Words): TemplatePart {
  const field = fields.find((f) => action === `.${f}`);
  if (field !== undefined) return { kind: "field", name: field };
  if (action === ".Message.Id") return { kind: "field", name: "Id" };
  const group =
    /^\.Group\.([A-Za-z_][A-Za-z0-9_]*)$/.exec(action)?.[1] ??
    /^index \.Match ([0-9]{1,3})$/.exec(action)?.[1] ??
    /^index \.Group "([^"]+)"$/.exec(action)?.[1];
  if (group !== undefined) return { kind: "group", group };
  const parsed = /^parseInt (?:\.Group\.([A-Za-z0-9_]+)|\(index \.Match ([0-9]{1,3})\)) ([0-9]{1,2})(?: [0-9]+)?$/.exec(action);
  if (parsed !== null) return { kind: "group", group: parsed[1] ?? parsed[2] ?? "0", base: Number(parsed[3]) };
  const label = /^\.Meta "([^"]+)"$/.exec(action)?.[1];
  if (label !== undefined) return { kind: "metadata", label };
  return w.fail(
    `{{ ${action} }}: there are .Name, .Zone, .Class, .Type, .Match, .Remote, .Message.Id, .Group.NAME, index .Match N, .Meta "LABEL" and parseInt GROUP BASE`,
  );
}
