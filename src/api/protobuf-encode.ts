import { isRecord, type JsonObject, own } from "./json-value.ts";
import { isVarint, magic, WireWriter } from "./protobuf-wire.ts";
import { declaredFields, type Field, isStruct, protobufTypeOf } from "./type-table.ts";

const listMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/** The inverse of decodeProtobuf, for an object of a known kind; undefined for one without a protobuf form here. */
export function encodeProtobuf(object: JsonObject): Uint8Array | undefined {
  const { apiVersion, kind } = object;
  if (typeof apiVersion !== "string" || typeof kind !== "string") return undefined;
  const type = protobufTypeOf(apiVersion, kind);
  const itemType = type === undefined && kind.endsWith("List") ? protobufTypeOf(apiVersion, kind.slice(0, -"List".length)) : undefined;
  if (type === undefined && itemType === undefined) return undefined;
  const typeMeta = new WireWriter();
  typeMeta.bytes(1, Buffer.from(apiVersion));
  typeMeta.bytes(2, Buffer.from(kind));
  const unknown = new WireWriter();
  unknown.bytes(1, typeMeta.finish());
  unknown.bytes(2, type === undefined ? encodeList(itemType ?? "", object) : encodeMessage(type, object));
  unknown.bytes(3, new Uint8Array());
  unknown.bytes(4, new Uint8Array());
  return Buffer.concat([magic, unknown.finish()]);
}

function encodeList(itemType: string, object: JsonObject): Uint8Array {
  const writer = new WireWriter();
  writer.bytes(1, encodeMessage(listMeta, recordOf(object["metadata"])));
  const items = Array.isArray(object["items"]) ? (object["items"] as unknown[]) : [];
  for (const item of items) writer.bytes(2, encodeMessage(itemType, recordOf(item)));
  return writer.finish();
}

const sorted = new Map<string, readonly Field[]>();

function encodeMessage(type: string, object: JsonObject): Uint8Array {
  const writer = new WireWriter();
  let fields = sorted.get(type);
  if (fields === undefined) {
    fields = declaredFields(type)
      .filter((field) => field.number > 0)
      .sort((a, b) => a.number - b.number);
    sorted.set(type, fields);
  }
  for (const field of fields) {
    if (field.inline) {
      writer.bytes(field.number, encodeMessage(field.type, object));
      continue;
    }
    const held = own(object, field.name);
    if (field.list) for (const item of Array.isArray(held) ? (held as unknown[]) : []) encodeValue(writer, field.number, field.type, item);
    else if (field.map) encodeMap(writer, field, recordOf(held));
    else if (held !== undefined && held !== null) encodeValue(writer, field.number, field.type, held);
    else if (!field.pointer && field.type !== "bytes") encodeValue(writer, field.number, field.type, undefined);
  }
  return writer.finish();
}

function encodeMap(writer: WireWriter, field: Field, map: JsonObject): void {
  for (const key of Object.keys(map).sort()) {
    const pair = new WireWriter();
    pair.bytes(1, Buffer.from(key));
    encodeValue(pair, 2, field.type, map[key]);
    writer.bytes(field.number, pair.finish());
  }
}

/** `held` undefined writes the type's zero value. */
function encodeValue(writer: WireWriter, number: number, type: string, held: unknown): void {
  if (isVarint(type)) writer.varint(number, typeof held === "number" ? Math.trunc(held) : held === true ? 1 : 0);
  else if (type === "float64") writer.double(number, typeof held === "number" ? held : 0);
  else if (isStruct(type)) writer.bytes(number, encodeMessage(type, recordOf(held)));
  else writer.bytes(number, encodeBytes(type, held));
}

function encodeBytes(type: string, held: unknown): Uint8Array {
  const inner = new WireWriter();
  switch (type) {
    case "string":
      return Buffer.from(typeof held === "string" ? held : "");
    case "bytes":
      return Buffer.from(typeof held === "string" ? held : "", "base64");
    case "time":
    case "microTime":
      if (typeof held !== "string") return new Uint8Array();
      inner.varint(1, Math.floor(Date.parse(held) / 1000));
      inner.varint(2, Number((/\.(\d+)/.exec(held)?.[1] ?? "0").padEnd(9, "0").slice(0, 9)));
      break;
    case "duration":
      inner.varint(1, BigInt(Math.round(Number.parseFloat(typeof held === "string" ? held : "0") * 1e9)));
      break;
    case "quantity":
      inner.bytes(1, Buffer.from(typeof held === "string" ? held : "0"));
      break;
    case "stringList":
      for (const item of Array.isArray(held) ? (held as unknown[]) : []) inner.bytes(1, Buffer.from(String(item)));
      break;
    case "intOrString":
      inner.varint(1, typeof held === "string" ? 1 : 0);
      inner.varint(2, typeof held === "number" ? held : 0);
      inner.bytes(3, Buffer.from(typeof held === "string" ? held : ""));
      break;
    default:
      if (held !== undefined) inner.bytes(1, Buffer.from(JSON.stringify(held)));
  }
  return inner.finish();
}

function recordOf(held: unknown): JsonObject {
  return isRecord(held) ? held : {};
}
