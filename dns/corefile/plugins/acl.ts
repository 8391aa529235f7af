import type { Cidr } from "../../../src/base/cidr.ts";
import type { DomainName } from "../../wire/name.ts";
import { parseType } from "../../wire/record-type.ts";
import type { Directive } from "../corefile.ts";
import { readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, zonesOr } from "./block-context.ts";

export type AclAction = "allow" | "block" | "filter" | "drop";

export interface AclRule {
  readonly action: AclAction;
  /** Empty: all. */
  readonly types: readonly number[];
  readonly sources: readonly Cidr[];
}

export interface AclConfig {
  readonly plugin: "acl";
  readonly zones: readonly DomainName[];
  /** The first that fits decides; none: allowed. */
  readonly rules: readonly AclRule[];
}

export function readAcl(d: Directive, block: BlockContext): AclConfig {
  const rules: AclRule[] = [];
  const rule = (action: AclAction) => (w: Words) => void rules.push(readRule(action, w));
  readOptions(d, { allow: rule("allow"), block: rule("block"), filter: rule("filter"), drop: rule("drop") });
  return { plugin: "acl", zones: zonesOr(wordsOf(d), block), rules };
}

function readRule(action: AclAction, w: Words): AclRule {
  const types: number[] = [];
  const sources: Cidr[] = [];
  let section: "type" | "net" | undefined;
  let all = { type: false, net: false };
  for (const word of w.rest()) {
    if (word === "type" || word === "net") section = word;
    else if (section === undefined) w.fail(`${word} where type or net should be`);
    else if (word === "*") all = { ...all, [section]: true };
    else if (section === "type") types.push(parseType(word) ?? w.fail(`${word} is not a record type`));
    else sources.push(w.cidrOf(word));
  }
  return { action, types: all.type ? [] : types, sources: all.net ? [] : sources };
}
