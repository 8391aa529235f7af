import { fnv1a } from "../../src/base/hash.ts";
import type { Element, Field, FieldType, SetDefinition } from "../nftables/statement.ts";
import type { AppliedTable } from "./applier.ts";

/** Reads what `nft -j list table` prints. Sets that fairway does not know are left out. */
export function parseNftJson(text: string, sets: readonly SetDefinition[]): AppliedTable {
  const document = JSON.parse(text) as { readonly nftables?: readonly Record<string, unknown>[] };
  const elements: Element[] = [];
  let version: AppliedTable["version"];
  const rules: string[] = [];
  for (const object of document.nftables ?? []) {
    if (object["rule"] !== undefined || object["chain"] !== undefined)
      rules.push(JSON.stringify(object, (key, value: unknown) => (key === "handle" ? undefined : value)));
    const set = (object["set"] ?? object["map"]) as { readonly name: string; readonly elem?: readonly unknown[] } | undefined;
    const definition = sets.find((s) => s.name === set?.name);
    if (set === undefined || definition === undefined || definition.dynamicSize !== undefined) continue;
    for (const item of set.elem ?? []) {
      const [key, value] = definition.value === undefined ? [item, undefined] : (item as readonly [unknown, unknown]);
      const element: Element = {
        set: set.name,
        key: rangesIn(definition, parseFields(definition.key, key)),
        ...(definition.value === undefined ? {} : { value: parseFields(definition.value, value) }),
      };
      if (set.name === "version") version = { skeleton: Number(element.key[0]), fingerprint: Number(element.value?.[0]) };
      elements.push(element);
    }
  }
  return { version, fingerprint: fnv1a(rules.join("\n")), elements };
}

/** Where the last address is a range, nft leaves the length off a single address. */
function rangesIn(definition: SetDefinition, fields: readonly Field[]): readonly Field[] {
  const last = String(fields.at(-1));
  if (definition.interval !== true || last.includes("/")) return fields;
  return [...fields.slice(0, -1), `${last}/${last.includes(":") ? 128 : 32}`];
}

function parseFields(types: readonly FieldType[], json: unknown): readonly Field[] {
  // a string has a method of that name
  const concat = typeof json === "object" ? (json as { readonly concat?: readonly unknown[] } | null)?.concat : undefined;
  const parts = concat ?? [json];
  return types.map((type, i) => parseField(type, parts[i]));
}

function parseField(type: FieldType, json: unknown): Field {
  if (type === "verdict") {
    const goto = (json as { readonly goto?: { readonly target?: string } }).goto;
    return goto?.target ?? "";
  }
  if (type === "address") {
    const prefix = (json as { readonly prefix?: { readonly addr: string; readonly len: number } }).prefix;
    return prefix === undefined ? String(json) : `${prefix.addr}/${prefix.len}`;
  }
  if (type === "number") return parseClassid(String(json));
  if (type === "port") return typeof json === "number" ? json : Number(json);
  return String(json);
}

/** `a500:5` → 0xa5000005; also plain and hexadecimal numbers, `none` and `root`, which nft prints for some values. */
export function parseClassid(text: string): number {
  if (text === "none") return 0;
  if (text === "root") return 0xffffffff;
  const match = /^([0-9a-f]*):([0-9a-f]*)$/.exec(text);
  if (match === null) return Number(text);
  return Number.parseInt(match[1] || "0", 16) * 0x10000 + Number.parseInt(match[2] || "0", 16);
}
