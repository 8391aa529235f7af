import { printField, type SetDefinition, type SetEntry, type SetField, type SetType } from "../../rules/ipvs/values.ts";
import { parseProtocol } from "../../rules/model/service-port.ts";
import { parseCidr } from "../base/cidr.ts";
import { parseIp } from "../base/ip.ts";

/** Entries a set may have; the kernel's own limit is 65,536. */
export const largestSet = 4_194_304;
export const setTypes: readonly SetType[] = ["hash:ip", "hash:net", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "bitmap:port"];

/** One change of the sets. */
export type SetStep =
  | { readonly verb: "create" | "destroy"; readonly set: SetDefinition }
  | { readonly verb: "add" | "delete"; readonly entry: SetEntry };

/** One line of `ipset restore`. */
export function printSetStep(step: SetStep): string {
  switch (step.verb) {
    case "create":
      if (step.set.type === "bitmap:port") return `create ${step.set.name} bitmap:port range 0-65535`;
      return `create ${step.set.name} ${step.set.type} family ${step.set.family === 6 ? "inet6" : "inet"} maxelem ${largestSet}${step.set.marks === true ? " skbinfo" : ""}`;
    case "destroy":
      return `destroy ${step.set.name}`;
    case "add":
    case "delete":
      return `${step.verb === "add" ? "add" : "del"} ${step.entry.set} ${step.entry.fields.map(printField).join(",")}${step.verb === "add" ? printMark(step.entry.mark) : ""}`;
  }
}

function printMark(mark: number | undefined): string {
  return mark === undefined ? "" : ` skbmark 0x${mark.toString(16)}`;
}

/** Sets and entries of what `ipset save` printed; sets of types that are never ours are left out. */
export function parseSetSave(text: string): { readonly sets: readonly SetDefinition[]; readonly entries: readonly SetEntry[] } {
  const sets = new Map<string, SetDefinition>();
  const entries: SetEntry[] = [];
  for (const line of text.split("\n")) {
    const [verb, name = "", third = "", ...options] = line.trim().split(/\s+/);
    if (verb === "create") {
      const type = setTypes.find((t) => t === third);
      if (type === undefined) continue;
      const family = options[options.indexOf("family") + 1] === "inet6" ? 6 : 4;
      const marks = options.includes("skbinfo") ? ({ marks: true } as const) : {};
      sets.set(name, type === "bitmap:port" ? { name, type } : { name, type, family, ...marks });
    } else if (verb === "add") {
      const set = sets.get(name);
      const fields = set === undefined ? undefined : parseEntry(set.type, third);
      const mark = parseMark(options);
      if (fields !== undefined) entries.push({ set: name, fields, ...(mark === undefined ? {} : { mark }) });
    }
  }
  return { sets: [...sets.values()], entries };
}

/** Of an entry with a mark for some bits only, none: it is not ours. */
function parseMark(options: readonly string[]): number | undefined {
  const at = options.indexOf("skbmark");
  const [mark = "", mask = "0xffffffff"] = at < 0 ? [] : (options[at + 1] ?? "").split("/");
  return mark === "" || Number(mask) !== 0xffff_ffff ? undefined : Number(mark);
}

function parseEntry(type: SetType, text: string): readonly SetField[] | undefined {
  const kinds = type.slice(type.indexOf(":") + 1).split(",");
  const fields: SetField[] = [];
  for (const [i, part] of text.split(",").entries()) {
    const field = parseField(kinds[i] ?? "", part);
    if (field === undefined) return undefined;
    fields.push(field);
  }
  return fields.length === kinds.length ? fields : undefined;
}

function parseField(kind: string, text: string): SetField | undefined {
  if (kind === "ip") return parseIp(text);
  // a network of one address is printed without its length
  if (kind === "net") return parseCidr(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`);
  const [, name, port] = /^(?:([a-z]+):)?(\d+)$/.exec(text) ?? [];
  if (port === undefined) return undefined;
  const protocol = name === undefined ? undefined : parseProtocol(name);
  return protocol === undefined ? { port: Number(port) } : { protocol, port: Number(port) };
}
