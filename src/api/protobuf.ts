import { isRecord, type JsonObject, setKey } from "./json-value.ts";
import { isVarint, magic, WireError, WireReader } from "./protobuf-wire.ts";
import { badRequest } from "./status-error.ts";
import { declaredFields, type Field, isStruct, protobufTypeOf } from "./type-table.ts";

export { encodeProtobuf } from "./protobuf-encode.ts";

const maxDepth = 64;
const listMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const text = new TextDecoder();

/** Whether a body is in the envelope of the API's protobuf. */
export function isProtobuf(body: Uint8Array): boolean {
  return magic.every((byte, i) => body[i] === byte);
}

/**
 * Reads a body of `application/vnd.kubernetes.protobuf` into the object that JSON would have brought: a built-in kind, a
 * list of one, or one of the meta kinds (DeleteOptions, Status…). Throws an ApiError (400) for anything else. The result
 * still has empty fields; checkStructure drops them.
 */
export function decodeProtobuf(body: Uint8Array): JsonObject {
  if (!isProtobuf(body)) throw badRequest("provided data does not appear to be a protobuf message, expected prefix k8s\\x00");
  try {
    const { apiVersion, kind, raw } = decodeUnknown(body.subarray(magic.length));
    const type = protobufTypeOf(apiVersion, kind);
    if (type !== undefined) return { apiVersion, kind, ...message(type, raw, 0) };
    const itemType = kind.endsWith("List") ? protobufTypeOf(apiVersion, kind.slice(0, -"List".length)) : undefined;
    if (itemType !== undefined) return { apiVersion, kind, ...list(itemType, raw) };
    throw badRequest(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  } catch (error) {
    if (error instanceof WireError) throw badRequest(`error decoding protobuf: proto: ${error.message}`);
    throw error;
  }
}

function decodeUnknown(bytes: Uint8Array): { readonly apiVersion: string; readonly kind: string; readonly raw: Uint8Array } {
  const reader = new WireReader(bytes);
  let apiVersion = "";
  let kind = "";
  let raw = new Uint8Array();
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) {
      const meta = new WireReader(reader.bytes());
      while (!meta.done) {
        const field = meta.tag();
        if (field.number === 1 && field.wire === 2) apiVersion = text.decode(meta.bytes());
        else if (field.number === 2 && field.wire === 2) kind = text.decode(meta.bytes());
        else meta.skip(field.wire);
      }
    } else if (number === 2 && wire === 2) raw = Uint8Array.from(reader.bytes());
    else reader.skip(wire);
  }
  return { apiVersion, kind, raw };
}

function list(itemType: string, bytes: Uint8Array): JsonObject {
  const reader = new WireReader(bytes);
  const items: unknown[] = [];
  let metadata: JsonObject = {};
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) metadata = message(listMeta, reader.bytes(), 1);
    else if (number === 2 && wire === 2) items.push(message(itemType, reader.bytes(), 1));
    else reader.skip(wire);
  }
  return { metadata, items };
}

/** The fields of a type by number; an inlined struct stands under its own number. */
const numbered = new Map<string, ReadonlyMap<number, Field>>();

function fieldsByNumber(type: string): ReadonlyMap<number, Field> {
  let fields = numbered.get(type);
  if (fields === undefined) {
    fields = new Map(declaredFields(type).map((field) => [field.number, field]));
    numbered.set(type, fields);
  }
  return fields;
}

function message(type: string, bytes: Uint8Array, depth: number): JsonObject {
  if (depth > maxDepth) throw new WireError("message nested too deep");
  const fields = fieldsByNumber(type);
  const reader = new WireReader(bytes);
  const out: Record<string, unknown> = {};
  while (!reader.done) {
    const { number, wire } = reader.tag();
    const field = fields.get(number);
    if (field === undefined) reader.skip(wire);
    else if (field.inline) Object.assign(out, message(field.type, reader.bytes(), depth + 1));
    else if (field.map) entry(field, reader.bytes(), out, depth + 1);
    else if (field.list && wire === 2 && isVarint(field.type)) append(out, field.name, packed(field.type, reader.bytes()));
    else if (field.list) append(out, field.name, [value(field.type, reader, wire, depth + 1)]);
    else {
      const read = value(field.type, reader, wire, depth + 1);
      if (read !== undefined) out[field.name] = read;
    }
  }
  return out;
}

function append(out: Record<string, unknown>, name: string, values: readonly unknown[]): void {
  const before = out[name];
  if (Array.isArray(before)) before.push(...values);
  else out[name] = [...values];
}

function entry(field: Field, bytes: Uint8Array, out: Record<string, unknown>, depth: number): void {
  const reader = new WireReader(bytes);
  let key = "";
  let held: unknown = zeroOfMap(field.type);
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) key = text.decode(reader.bytes());
    else if (number === 2) held = value(field.type, reader, wire, depth);
    else reader.skip(wire);
  }
  const map = isRecord(out[field.name]) ? (out[field.name] as Record<string, unknown>) : {};
  setKey(map, key, held);
  out[field.name] = map;
}

function zeroOfMap(type: string): unknown {
  if (type === "stringList") return [];
  return type === "quantity" ? "0" : "";
}

function packed(type: string, bytes: Uint8Array): readonly unknown[] {
  const reader = new WireReader(bytes);
  const values: unknown[] = [];
  while (!reader.done) values.push(type === "bool" ? reader.varint() !== 0n : reader.signed());
  return values;
}

function value(type: string, reader: WireReader, wire: number, depth: number): unknown {
  if (isVarint(type)) {
    if (wire !== 0) throw new WireError(`wrong wireType = ${wire} for a field of type ${type}`);
    return type === "bool" ? reader.varint() !== 0n : type === "int32" ? reader.signed() | 0 : reader.signed();
  }
  if (type === "float64") {
    if (wire !== 1) throw new WireError(`wrong wireType = ${wire} for a field of type ${type}`);
    return reader.double();
  }
  if (wire !== 2) throw new WireError(`wrong wireType = ${wire} for a field of type ${type}`);
  const bytes = reader.bytes();
  if (isStruct(type)) return message(type, bytes, depth);
  switch (type) {
    case "string":
      return text.decode(bytes);
    case "bytes":
      return Buffer.from(bytes).toString("base64");
    case "time":
    case "microTime":
      return timeValue(bytes, type === "time" ? 0 : 6);
    case "duration":
      return `${single(bytes, 0n) / 1_000_000_000n}s`;
    case "quantity":
      return strings(bytes)[0] ?? "0";
    case "stringList":
      return strings(bytes);
    case "intOrString":
      return intOrString(bytes);
    default:
      return rawValue(bytes);
  }
}

/** A message of one number under field 1. */
function single(bytes: Uint8Array, missing: bigint): bigint {
  const reader = new WireReader(bytes);
  let found = missing;
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 0) found = BigInt.asIntN(64, reader.varint());
    else reader.skip(wire);
  }
  return found;
}

/** A message of strings under field 1. */
function strings(bytes: Uint8Array): readonly string[] {
  const reader = new WireReader(bytes);
  const found: string[] = [];
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) found.push(text.decode(reader.bytes()));
    else reader.skip(wire);
  }
  return found;
}

/** Seconds and nanoseconds; an empty message is no time at all. */
function timeValue(bytes: Uint8Array, digits: number): string | undefined {
  if (bytes.length === 0) return undefined;
  const reader = new WireReader(bytes);
  let seconds = 0;
  let nanos = 0;
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 0) seconds = reader.signed();
    else if (number === 2 && wire === 0) nanos = reader.signed();
    else reader.skip(wire);
  }
  const instant = new Date(seconds * 1000);
  if (Number.isNaN(instant.getTime()) || instant.getUTCFullYear() > 9999 || instant.getUTCFullYear() < 0)
    throw new WireError("time out of range");
  const fraction = digits === 0 ? "" : `.${String(Math.abs(nanos)).padStart(9, "0").slice(0, digits)}`;
  return `${instant.toISOString().slice(0, 19)}${fraction}Z`;
}

function intOrString(bytes: Uint8Array): number | string {
  const reader = new WireReader(bytes);
  let isString = false;
  let number = 0;
  let string = "";
  while (!reader.done) {
    const tag = reader.tag();
    if (tag.number === 1 && tag.wire === 0) isString = reader.varint() === 1n;
    else if (tag.number === 2 && tag.wire === 0) number = reader.signed() | 0;
    else if (tag.number === 3 && tag.wire === 2) string = text.decode(reader.bytes());
    else reader.skip(tag.wire);
  }
  return isString ? string : number;
}

/** RawExtension and FieldsV1: JSON inside, under field 1. */
function rawValue(bytes: Uint8Array): unknown {
  const json = strings(bytes)[0];
  if (json === undefined || json === "") return undefined;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    throw new WireError("raw value is not JSON");
  }
}
