import { canonicalName, type DomainName } from "../../wire/name.ts";
import { parseType } from "../../wire/record-type.ts";
import type { Directive } from "../corefile.ts";
import { readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, zonesOr } from "./block-context.ts";

/** A key by its name. */
export interface TsigSecret {
  readonly name: DomainName;
  /** Base64. */
  readonly secret: string;
}

/** Keys of signed queries (RFC 8945), of the whole server, and which queries for names in `zones` must be signed. */
export interface TsigConfig {
  readonly plugin: "tsig";
  readonly zones: readonly DomainName[];
  readonly secrets: readonly TsigSecret[];
  /** In the form of named.conf. */
  readonly files: readonly string[];
  readonly types: "all" | readonly number[];
  readonly opcodes: "all" | readonly number[];
}

const opcodes: Readonly<Record<string, number>> = { QUERY: 0, IQUERY: 1, STATUS: 2, NOTIFY: 4, UPDATE: 5 };

export function readTsig(d: Directive, block: BlockContext): TsigConfig {
  const zones = zonesOr(wordsOf(d), block);
  const secrets: TsigSecret[] = [];
  const files: string[] = [];
  let types: TsigConfig["types"] = [];
  let required: TsigConfig["opcodes"] = [];
  readOptions(d, {
    secret: (w) => {
      const name = w.name("the key's name");
      const secret = w.take("the secret in base64");
      if (!isBase64(secret)) w.fail(`the secret of ${name} is not in base64`);
      secrets.push({ name, secret });
    },
    secrets: (w) => void files.push(block.resolvePath(w.take("a file"))),
    require: (w) => void (types = readRequired(w, "a record type", parseType)),
    require_opcode: (w) => void (required = readRequired(w, "an opcode", (text) => opcodes[text.toUpperCase()])),
  });
  return { plugin: "tsig", zones, secrets, files, types, opcodes: required };
}

function readRequired(w: Words, wanted: string, parse: (text: string) => number | undefined): "all" | readonly number[] {
  const [first, ...more] = w.some(`all, none or ${wanted}`);
  if (more.length === 0 && first === "all") return "all";
  if (more.length === 0 && first === "none") return [];
  return [first ?? "", ...more].map((text) => parse(text) ?? w.fail(`${text} is not ${wanted}`));
}

/** Keys of a file: `key "NAME" { algorithm …; secret "…"; };`. Throws a RangeError for what is none. */
export function parseKeyFile(text: string, file: string): readonly TsigSecret[] {
  // a secret may have two slashes in it
  const plain = text.replaceAll(/\/\*[\s\S]*?\*\/|(?:^|\s)(?:\/\/|#)[^\n]*/gm, "");
  const found: TsigSecret[] = [];
  const rest = plain.replaceAll(/key\s+"?([^\s"{]+)"?\s*\{([^}]*)\}\s*;?/g, (_, name: string, body: string) => {
    const secret = /secret\s+"?([A-Za-z0-9+/=]+)"?\s*;/.exec(body)?.[1] ?? "";
    if (!isBase64(secret)) throw new RangeError(`${file}: key ${name} has no secret in base64`);
    found.push({ name: canonicalName(name), secret });
    return "";
  });
  if (rest.trim() !== "") throw new RangeError(`${file}: ${JSON.stringify(rest.trim().slice(0, 40))} is no key`);
  return found;
}

function isBase64(text: string): boolean {
  return text !== "" && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
}
