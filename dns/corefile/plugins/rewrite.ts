import { parseClass, parseRcode, parseType } from "../../wire/record-type.ts";
import type { Directive, OptionLine } from "../corefile.ts";
import { parseGoRegex, Words } from "../words.ts";

export type NameMatchKind = "exact" | "prefix" | "suffix" | "substring" | "regex";

/** Which names a rule is for. `text` is canonical for `exact`, else as given, in lower case. */
export type NameMatch =
  | { readonly kind: Exclude<NameMatchKind, "regex">; readonly text: string }
  | { readonly kind: "regex"; readonly pattern: RegExp };

/** What is done to answers: names that match the pattern become `to`, in which `{1}` is the first group. */
export interface AnswerRewrite {
  readonly of: "name" | "value";
  readonly pattern: RegExp;
  readonly to: string;
}

export type Edns0Value =
  | { readonly kind: "bytes"; readonly hex: string }
  /** `{qname}`, `{client_ip}`, `{label/of/metadata}`: the name in the braces. */
  | { readonly kind: "variable"; readonly name: string };

export type RewriteRule = { readonly mode: "stop" | "continue" } & (
  | {
      readonly field: "name";
      readonly match: NameMatch;
      readonly to: string;
      readonly auto: boolean;
      readonly answers: readonly AnswerRewrite[];
    }
  | { readonly field: "type" | "class"; readonly from: number; readonly to: number; readonly match?: NameMatch }
  | { readonly field: "ttl"; readonly match: NameMatch; readonly least: number; readonly most: number }
  | { readonly field: "cname"; readonly match: NameMatch; readonly to: string }
  | { readonly field: "rcode"; readonly match: NameMatch; readonly from: number; readonly to: number }
  | {
      readonly field: "edns0";
      readonly action: "set" | "replace" | "append" | "unset";
      readonly option:
        | { readonly kind: "local"; readonly code: number; readonly value?: Edns0Value }
        | { readonly kind: "nsid" }
        | { readonly kind: "subnet"; readonly bits4: number; readonly bits6: number };
      /** The option is taken out of the answer again. */
      readonly revert: boolean;
    }
);

export interface RewriteConfig {
  readonly plugin: "rewrite";
  readonly rule: RewriteRule;
}

const matchKinds: readonly NameMatchKind[] = ["exact", "prefix", "suffix", "substring", "regex"];

export function readRewrite(d: Directive): RewriteConfig {
  const words = new Words(d.name, d, d.words);
  const mode = words.peek() === "stop" || words.peek() === "continue" ? words.choice(["stop", "continue"]) : "stop";
  if (d.options.length === 0) {
    const rule = readRule(words.take("a field"), words, mode);
    words.end();
    return { plugin: "rewrite", rule };
  }
  words.end();
  const [first, ...more] = d.options;
  const rule = first === undefined ? words.fail("the block is empty") : readLine(first, mode);
  if (rule.field !== "name") {
    if (more.length > 0) words.fail(`a block has a name rule and its answer rules; ${rule.field} is one line`);
    return { plugin: "rewrite", rule };
  }
  let { auto } = rule;
  const answers = [...rule.answers];
  for (const line of more) {
    const w = new Words("rewrite", line, line.words);
    if (line.name !== "answer") w.fail(`${line.name} behind a name rule; only answer may follow`);
    const read = readAnswer(w);
    w.end();
    if (read === "auto") auto = true;
    else answers.push(read);
  }
  return { plugin: "rewrite", rule: { ...rule, auto, answers } };
}

function readLine(line: OptionLine, mode: "stop" | "continue"): RewriteRule {
  const words = new Words("rewrite", line, line.words);
  const rule = readRule(line.name, words, mode);
  words.end();
  return rule;
}

function readRule(field: string, w: Words, mode: "stop" | "continue"): RewriteRule {
  switch (field) {
    case "name": {
      const kind = readKind(w);
      const match = readMatch(kind, w);
      const to = w.take("what it becomes");
      let auto = kind === "exact";
      const answers: AnswerRewrite[] = [];
      while (w.left > 0) {
        // a further rule may leave the word out
        if (w.peek() === "answer") w.take("");
        else if (answers.length === 0) w.fail("only answer may follow");
        const read = readAnswer(w);
        if (read === "auto") auto = true;
        else answers.push(read);
      }
      return { field, mode, match, to, auto, answers };
    }
    case "type":
    case "class": {
      const read = (): number => {
        const text = w.take(`a ${field}`);
        return (field === "type" ? parseType(text) : parseClass(text)) ?? w.fail(`${text} is not a ${field}`);
      };
      const from = read();
      const to = read();
      return w.left === 0 ? { field, mode, from, to } : { field, mode, from, to, match: readMatch(readKind(w), w) };
    }
    case "ttl": {
      const match = readMatch(readKind(w), w);
      const text = w.take("seconds, or FROM-TO");
      const range = /^([0-9]{0,10})(-?)([0-9]{0,10})$/.exec(text);
      if (range === null || text === "" || text === "-") return w.fail(`${text} is neither seconds nor a range such as 30-3600`);
      const [, low = "", dash, high = ""] = range;
      const least = low === "" ? 0 : Number(low);
      const most = dash === "" ? least : high === "" ? 0x7fffffff : Number(high);
      return most < least ? w.fail(`${text}: the range is empty`) : { field, mode, match, least, most };
    }
    case "cname":
      return { field, mode, match: readMatch(readKind(w), w), to: w.name("a name") };
    case "rcode": {
      const match = readMatch(readKind(w), w);
      const read = (): number => {
        const text = w.take("a response code");
        const code = /^[0-9]{1,2}$/.test(text) ? Number(text) : parseRcode(text);
        return code ?? w.fail(`${text} is not a response code`);
      };
      return { field, mode, match, from: read(), to: read() };
    }
    case "edns0":
      return readEdns0(w, mode);
    default:
      return w.fail(`no field ${field}; there are name, type, class, ttl, cname, rcode, edns0`);
  }
}

function readKind(w: Words): NameMatchKind {
  const kind = matchKinds.find((k) => k === w.peek());
  if (kind === undefined) return "exact";
  w.take("");
  return kind;
}

function readMatch(kind: NameMatchKind, w: Words): NameMatch {
  if (kind === "regex") return { kind, pattern: w.regexOf(w.take("a pattern")) };
  const text = w.take("a name").toLowerCase();
  return { kind, text: kind === "exact" ? w.nameOf(text) : kind === "suffix" && !text.endsWith(".") ? `${text}.` : text };
}

function readAnswer(w: Words): AnswerRewrite | "auto" {
  const of = w.choice(["name", "value", "auto"]);
  // `answer name auto` is how some write it
  if (of === "auto" || (of === "name" && w.peek() === "auto" && w.left === 1 && w.take("") === "auto")) return "auto";
  const text = w.take("a pattern");
  try {
    const pattern = parseGoRegex(text);
    return { of, pattern: new RegExp(pattern.source, "i"), to: w.take("what it becomes") };
  } catch {
    return w.fail(`${text} is not a regular expression`);
  }
}

function readEdns0(w: Words, mode: "stop" | "continue"): RewriteRule {
  const kind = w.choice(["local", "nsid", "subnet"]);
  const action = w.choice(["set", "replace", "append", "unset"]);
  const revert = (): boolean => w.left > 0 && w.choice(["revert"]) === "revert";
  if (kind === "nsid") return { field: "edns0", mode, action, option: { kind }, revert: revert() };
  if (kind === "subnet") {
    if (action === "unset") return { field: "edns0", mode, action, option: { kind, bits4: 0, bits6: 0 }, revert: revert() };
    return {
      field: "edns0",
      mode,
      action,
      option: { kind, bits4: w.integer("bits", 0, 32), bits6: w.integer("bits", 0, 128) },
      revert: revert(),
    };
  }
  const text = w.take("an option code");
  const code = /^(0x[0-9a-fA-F]{1,4}|[0-9]{1,5})$/.test(text) ? Number(text) : Number.NaN;
  if (!(code <= 0xffff)) w.fail(`${text} is not an option code such as 0xffee`);
  if (action === "unset") return { field: "edns0", mode, action, option: { kind, code }, revert: revert() };
  const value = readValue(w.take("data"), w);
  return { field: "edns0", mode, action, option: { kind, code, value }, revert: revert() };
}

function readValue(text: string, w: Words): Edns0Value {
  const variable = /^\{(.+)\}$/.exec(text)?.[1];
  if (variable !== undefined) return { kind: "variable", name: variable };
  if (!text.startsWith("0x")) return { kind: "bytes", hex: Buffer.from(text, "utf8").toString("hex") };
  const hex = text.slice(2).toLowerCase();
  return /^([0-9a-f]{2})*$/.test(hex) ? { kind: "bytes", hex } : w.fail(`${text} is not bytes in hexadecimal`);
}
