import { isRecord, type JsonObject, setKey } from "./json-value.ts";
import { canonicalQuantity, quantityExpression } from "./quantity.ts";
import { apiVersionOf, type Resource } from "./scheme.ts";
import { parseMicroTime, parseTime } from "./time.ts";
import { type Field, goNameOf, isStruct, jsonFields, kindOfType } from "./type-table.ts";

export { parseJsonStrict, type StrictJson } from "./strict-json.ts";

/** An object after its structure was checked. */
export interface Checked {
  /** Nulls dropped, empty fields as Kubernetes would write them, unknown fields gone. */
  readonly object: JsonObject;
  /** `unknown field "spec.foo"`, for warnings or for a strict refusal. */
  readonly unknown: readonly string[];
  /** What makes it unreadable; the text completes `Pod in version "v1" cannot be handled as a Pod:`. */
  readonly errors: readonly string[];
}

/** Checks and normalises an object of a kind in the scheme. */
export function checkStructure(resource: Pick<Resource, "type" | "group" | "version" | "kind">, object: unknown): Checked {
  return checkType(resource.type, object, { apiVersion: apiVersionOf(resource), kind: resource.kind });
}

/** Checks and normalises a value of any type in the table. `head` is what stands before the fields (apiVersion and kind). */
export function checkType(type: string, value: unknown, head: JsonObject = {}): Checked {
  const walk: Walk = { unknown: [], errors: [] };
  if (!isRecord(value)) {
    return { object: {}, unknown: [], errors: [`json: cannot unmarshal ${wordOf(value)} into Go value of type ${goNameOf(type)}`] };
  }
  const body = struct(walk, type, value, undefined);
  return { object: { ...head, ...body }, unknown: walk.unknown, errors: walk.errors };
}

/** The sentence Kubernetes puts before an error of decoding. */
export function cannotBeHandled(resource: Pick<Resource, "group" | "version" | "kind">, why: string): string {
  return `${resource.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}: ${why}`;
}

/** `strict decoding error: unknown field "spec.a", duplicate field "spec.b"` */
export function strictError(unknown: readonly string[]): string {
  return `strict decoding error: ${unknown.join(", ")}`;
}

interface Walk {
  readonly unknown: string[];
  readonly errors: string[];
}

/** Where we are, outermost last; made into text only when there is something to tell. */
interface At {
  readonly up: At | undefined;
  /** A field or a key of a map, or an index of a list. */
  readonly step: string | number;
  /** Keys of maps are left out where Go tells the place. */
  readonly ofMap?: true;
}

/** `spec.ports[0].port` */
function jsonPath(at: At | undefined, key?: string): string {
  let path = key ?? "";
  for (let node = at; node !== undefined; node = node.up) {
    const step = typeof node.step === "number" ? `[${node.step}]` : node.step;
    path = path === "" || path.startsWith("[") ? `${step}${path}` : `${step}.${path}`;
  }
  return path;
}

/** `spec.ports.port` */
function goPath(at: At | undefined): string {
  const steps: string[] = [];
  for (let node = at; node !== undefined; node = node.up)
    if (typeof node.step === "string" && node.ofMap !== true) steps.unshift(node.step);
  return steps.join(".");
}

/** A field, and what is known of it before any object is seen. */
interface Slot {
  readonly name: string;
  readonly field: Field;
  /** Whether it stands in the object also when nobody gave it. */
  readonly always: boolean;
}

const slotsByType = new Map<string, readonly Slot[]>();

function slotsOf(type: string): readonly Slot[] {
  let slots = slotsByType.get(type);
  if (slots === undefined) {
    slots = [...jsonFields(type)].map(([name, field]) => ({ name, field, always: !omitted(field, undefined) }));
    slotsByType.set(type, slots);
  }
  return slots;
}

function struct(walk: Walk, type: string, value: JsonObject, at: At | undefined): Record<string, unknown> {
  const fields = jsonFields(type);
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    if (fields.has(key)) continue;
    if ((key === "apiVersion" || key === "kind") && kindOfType(type) !== undefined) continue;
    walk.unknown.push(`unknown field ${JSON.stringify(jsonPath(at, key))}`);
  }
  for (const { name, field, always } of slotsOf(type)) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    if (given === undefined || given === null) {
      if (always) out[name] = zeroItem(walk, field, { up: at, step: name });
      continue;
    }
    const here = { up: at, step: name };
    const read = fieldValue(walk, field, given, here, type);
    if (!omitted(field, read)) out[name] = read ?? zeroItem(walk, field, here);
  }
  return out;
}

function fieldValue(walk: Walk, field: Field, value: unknown, at: At, owner: string): unknown {
  if (field.list) {
    if (!Array.isArray(value)) return wrong(walk, value, at, owner, `[]${goType(field)}`);
    return value.map((item, step) => {
      const inner = { up: at, step };
      return item === null ? zeroItem(walk, field, inner) : scalarOrStruct(walk, field, item, inner, owner);
    });
  }
  if (field.map) {
    if (!isRecord(value)) return wrong(walk, value, at, owner, field.goType ?? `map[string]${goType(field)}`);
    const out: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      const inner: At = { up: at, step: key, ofMap: true };
      const item = value[key];
      setKey(out, key, item === null ? zeroItem(walk, field, inner) : scalarOrStruct(walk, field, item, inner, owner));
    }
    return out;
  }
  return scalarOrStruct(walk, field, value, at, owner);
}

function scalarOrStruct(walk: Walk, field: Field, value: unknown, at: At, owner: string): unknown {
  const { type } = field;
  switch (type) {
    case "string":
      return typeof value === "string" ? value : wrong(walk, value, at, owner, goType(field));
    case "bool":
      return typeof value === "boolean" ? value : wrong(walk, value, at, owner, goType(field));
    case "int32":
    case "int64":
    case "int":
    case "uint8":
    case "uint32":
    case "uint64":
      if (typeof value !== "number") return wrong(walk, value, at, owner, goType(field));
      return fits(type, value) ? value : wrong(walk, value, at, owner, goType(field), `number ${value}`);
    case "float64":
      return typeof value === "number" ? value : wrong(walk, value, at, owner, goType(field));
    case "bytes":
      if (typeof value !== "string") return wrong(walk, value, at, owner, "[]uint8");
      if (!isBase64(value)) walk.errors.push(`illegal base64 data at input byte ${badBase64At(value)}`);
      return /[\r\n]/.test(value) ? value.replace(/[\r\n]/g, "") : value;
    case "stringList":
      if (!Array.isArray(value)) return wrong(walk, value, at, owner, "[]string");
      return value.map((item) => (typeof item === "string" ? item : wrong(walk, item, at, owner, "string")));
    case "time":
    case "microTime":
      return typeof value === "string" ? timeValue(walk, type, value) : wrong(walk, value, at, owner, "string");
    case "quantity":
      return quantityValue(walk, value);
    case "intOrString":
      return intOrStringValue(walk, value, at, owner);
    case "duration":
      return typeof value === "string" ? value : wrong(walk, value, at, owner, "string");
    case "raw":
    case "any":
      return value;
    default:
      return isRecord(value) ? struct(walk, type, value, at) : wrong(walk, value, at, owner, goNameOf(type));
  }
}

function intOrStringValue(walk: Walk, value: unknown, at: At, owner: string): unknown {
  if (typeof value === "string") return value;
  if (typeof value === "number" && fits("int32", value)) return value;
  return typeof value === "number" ? wrong(walk, value, at, owner, "int32", `number ${value}`) : wrong(walk, value, at, owner, "int32");
}

function timeValue(walk: Walk, type: string, value: string): unknown {
  const parsed = type === "time" ? parseTime(value) : parseMicroTime(value);
  if (typeof parsed === "string") return parsed;
  walk.errors.push(parsed.error);
  return undefined;
}

function quantityValue(walk: Walk, value: unknown): unknown {
  const text = typeof value === "number" ? String(value) : typeof value === "string" ? value.trim() : undefined;
  const canonical = text === undefined ? undefined : canonicalQuantity(text);
  if (canonical === undefined) walk.errors.push(`quantities must match the regular expression '${quantityExpression}'`);
  return canonical;
}

function wrong(walk: Walk, value: unknown, at: At, owner: string, goTypeName: string, word = wordOf(value)): undefined {
  const struct = goNameOf(owner).split(".")[1] ?? "";
  walk.errors.push(`json: cannot unmarshal ${word} into Go struct field ${struct}.${goPath(at)} of type ${goTypeName}`);
  return undefined;
}

/** Whether the field is left out: as Go's encoder does, and where Go would write a null. */
function omitted(field: Field, value: unknown): boolean {
  if (typeof value === "string" && value !== "") return false;
  const plainStruct = isStruct(field.type) && !field.list && !field.map && !field.pointer;
  if (value === undefined)
    return field.omit === "zero" || nullable(field) || (field.omit === "empty" && !plainStruct && !structScalars.has(field.type));
  if (field.omit === "" || field.pointer) return false;
  if (Array.isArray(value)) return value.length === 0;
  if (isRecord(value)) return plainStruct ? field.omit === "zero" && isEmpty(value) : field.type !== "raw" && isEmpty(value);
  return (value === "" || value === 0 || value === false) && !structScalars.has(field.type);
}

/** Go has structs for these, and a struct is never empty. */
const structScalars = new Set(["quantity", "intOrString"]);

/** Whether Go's zero value of the field is nil. */
function nullable(field: Field): boolean {
  return field.list || field.map || field.pointer || nilTypes.has(field.type);
}

const nilTypes = new Set(["time", "microTime", "bytes", "raw", "any", "stringList"]);

function isEmpty(value: JsonObject): boolean {
  return Object.keys(value).length === 0;
}

function zeroItem(walk: Walk, field: Field, at: At): unknown {
  if (isStruct(field.type)) return struct(walk, field.type, {}, at);
  switch (field.type) {
    case "string":
    // what is stored of no bytes is what is stored of empty ones
    case "bytes":
      return "";
    case "bool":
      return false;
    case "time":
    case "microTime":
    case "raw":
    case "any":
      return null;
    case "intOrString":
      return 0;
    case "quantity":
      return "0";
    case "stringList":
      return [];
    default:
      return 0;
  }
}

function goType(field: Field): string {
  if (isStruct(field.type)) return goNameOf(field.type);
  const plain: Readonly<Record<string, string>> = { bytes: "[]uint8", stringList: "[]string", intOrString: "intstr.IntOrString" };
  return (field.map ? undefined : field.goType) ?? plain[field.type] ?? field.type;
}

function wordOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

function fits(type: string, value: number): boolean {
  if (!Number.isInteger(value)) return false;
  switch (type) {
    case "int32":
      return value >= -(2 ** 31) && value < 2 ** 31;
    case "uint8":
      return value >= 0 && value < 256;
    case "uint32":
      return value >= 0 && value < 2 ** 32;
    case "uint64":
      return value >= 0 && value < 2 ** 64;
    default:
      return value >= -(2 ** 63) && value < 2 ** 63;
  }
}

function isBase64(text: string): boolean {
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text.replace(/[\r\n]/g, ""));
}

function badBase64At(text: string): number {
  const at = text.search(/[^A-Za-z0-9+/=\r\n]/);
  return at >= 0 ? at : text.length - (text.length % 4);
}
