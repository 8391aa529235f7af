import { parseIp } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import { ParseError } from "./errors.ts";
import { encodeName } from "./name.ts";
import { parseOpaque, printOpaque } from "./opaque-text.ts";
import { type RecordData, type ResourceRecord, type SvcParam, typeOf } from "./record.ts";
import { decodeRecordData } from "./record-data.ts";
import { classIn, parseClass, parseType, printClass, printType } from "./record-type.ts";

/** `web.shop.svc.cluster.local. 5 IN A 10.96.0.20`: one record on one line (RFC 1035 section 5), fields parted by one space. */
export function printRecord(r: ResourceRecord): string {
  return `${r.name} ${r.ttl} ${printClass(r.class)} ${printType(typeOf(r.data))} ${printRecordData(r.data)}`;
}

/** The inverse of `printRecord`; the class may be left out. Throws a ParseError. */
export function parseRecord(line: string): ResourceRecord {
  const fields = splitFields(line);
  const [name, ttl, ...rest] = fields;
  if (name === undefined || ttl === undefined || !/^[0-9]{1,10}$/.test(ttl)) throw new ParseError("bad-text", line);
  const rrClass = parseClass(rest[0] ?? "");
  const [type, ...data] = rrClass === undefined ? rest : rest.slice(1);
  const number = parseType(type ?? "");
  if (number === undefined) throw new ParseError("bad-text", line);
  encodeName(name);
  return {
    name: name === "." ? name : name.endsWith(".") ? name : `${name}.`,
    ttl: Number(ttl),
    class: rrClass ?? classIn,
    data: parseRecordData(number, data, line),
  };
}

/** A record's data as zone files have it. */
export function printRecordData(data: RecordData): string {
  switch (data.kind) {
    case "A":
    case "AAAA":
      return data.ip;
    case "NS":
    case "CNAME":
    case "PTR":
    case "DNAME":
      return data.target;
    case "SOA":
      return `${data.primary} ${data.mailbox} ${data.serial} ${data.refresh} ${data.retry} ${data.expire} ${data.minimum}`;
    case "MX":
      return `${data.preference} ${data.exchange}`;
    case "TXT":
    case "SPF":
      return data.texts.map(quote).join(" ");
    case "HINFO":
      return `${quote(data.cpu)} ${quote(data.os)}`;
    case "SRV":
      return `${data.priority} ${data.weight} ${data.port} ${data.target}`;
    case "NAPTR":
      return `${data.order} ${data.preference} ${quote(data.flags)} ${quote(data.services)} ${quote(data.regexp)} ${data.replacement}`;
    case "CAA":
      return `${data.flags} ${data.tag} ${quote(data.value)}`;
    case "URI":
      return `${data.priority} ${data.weight} ${quote(data.target)}`;
    case "SVCB":
    case "HTTPS":
      return [data.priority, data.target, ...data.params.map((p) => `key${p.key}=0x${p.hex}`)].join(" ");
    case "other":
      return printOpaque(data.type, data.hex) ?? `\\# ${data.hex.length / 2}${data.hex === "" ? "" : ` ${data.hex}`}`;
    default:
      return unreachable(data);
  }
}

function parseRecordData(type: number, fields: readonly string[], line: string): RecordData {
  const bad = (): never => {
    throw new ParseError("bad-text", line);
  };
  const field = (i: number): string => fields[i] ?? bad();
  const name = (i: number): string => {
    const text = field(i);
    encodeName(text);
    return text === "." || text.endsWith(".") ? text : `${text}.`;
  };
  const number = (i: number, max = 0xffff): number => {
    const text = field(i);
    return /^[0-9]{1,10}$/.test(text) && Number(text) <= max ? Number(text) : bad();
  };
  if (field(0) === "\\#") {
    const hex = fields.slice(2).join("").toLowerCase();
    if (!/^([0-9a-f]{2})*$/.test(hex) || hex.length / 2 !== number(1)) return bad();
    const bytes = Buffer.from(hex, "hex");
    return decodeRecordData(bytes, 0, bytes.length, type);
  }
  const kind = printType(type);
  switch (kind) {
    case "A":
    case "AAAA": {
      const ip = parseIp(field(0));
      return ip === undefined || ip.includes(":") !== (kind === "AAAA") ? bad() : { kind, ip };
    }
    case "NS":
    case "CNAME":
    case "PTR":
    case "DNAME":
      return { kind, target: name(0) };
    case "SOA": {
      const [serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0] = [2, 3, 4, 5, 6].map((i) => number(i, 0xffffffff));
      return { kind, primary: name(0), mailbox: name(1), serial, refresh, retry, expire, minimum };
    }
    case "MX":
      return { kind, preference: number(0), exchange: name(1) };
    case "TXT":
    case "SPF":
      return fields.length === 0 ? bad() : { kind, texts: fields.map((f) => unquote(f)) };
    case "HINFO":
      return { kind, cpu: unquote(field(0)), os: unquote(field(1)) };
    case "SRV":
      return { kind, priority: number(0), weight: number(1), port: number(2), target: name(3) };
    case "NAPTR":
      return {
        kind,
        order: number(0),
        preference: number(1),
        flags: unquote(field(2)),
        services: unquote(field(3)),
        regexp: unquote(field(4)),
        replacement: name(5),
      };
    case "CAA":
      return { kind, flags: number(0, 255), tag: field(1), value: unquote(field(2)) };
    case "URI":
      return { kind, priority: number(0), weight: number(1), target: unquote(field(2)) };
    case "SVCB":
    case "HTTPS":
      return { kind, priority: number(0), target: name(1), params: fields.slice(2).map((f) => parseParam(f, line)) };
    default: {
      const hex = parseOpaque(type, fields);
      return hex === undefined ? bad() : { kind: "other", type, hex };
    }
  }
}

function parseParam(text: string, line: string): SvcParam {
  const match = /^key([0-9]{1,5})=0x((?:[0-9a-f]{2})*)$/.exec(text);
  if (match === null) throw new ParseError("bad-text", line);
  return { key: Number(match[1]), hex: match[2] ?? "" };
}

/** Fields are parted by blanks outside quotes; quotes and escapes stay in them. */
function splitFields(line: string): readonly string[] {
  return line.match(/"(?:[^"\\]|\\.)*"|(?:[^\s"\\]|\\.)+/g) ?? [];
}

function quote(text: string): string {
  let out = '"';
  for (const c of text) {
    const code = c.charCodeAt(0);
    if (c === '"' || c === "\\") out += `\\${c}`;
    else out += code >= 0x20 && code < 0x7f ? c : `\\${String(code & 255).padStart(3, "0")}`;
  }
  return `${out}"`;
}

function unquote(field: string): string {
  const inner = field.startsWith('"') ? field.slice(1, -1) : field;
  return inner.replace(/\\([0-9]{3}|.)/g, (_, e: string) => (e.length === 3 ? String.fromCharCode(Number(e) & 255) : e));
}
