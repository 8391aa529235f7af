import { notSupported } from "../api/field-error.ts";
import { isRecord, type JsonObject } from "../api/json-value.ts";
import { decodeProtobuf } from "../api/protobuf.ts";
import { apiVersionOf, type Resource } from "../api/scheme.ts";
import { badRequest, invalidOptions, unsupportedMediaType } from "../api/status-error.ts";
import { cannotBeHandled, checkType, parseJsonStrict, strictError } from "../api/structure.ts";
import { type Call, optionsKindOf } from "./call.ts";

export const jsonType = "application/json";
export const yamlType = "application/yaml";
export const protobufType = "application/vnd.kubernetes.protobuf";
const fieldValidations = ["", "Ignore", "Strict", "Warn"];
const accepted = [jsonType, yamlType, protobufType];

/** A kind by its names and its type in the generated table. */
export type Expected = Pick<Resource, "group" | "version" | "kind" | "type">;

/** A body as JSON, and what a lenient reader would have passed over. */
interface Read {
  readonly value: unknown;
  readonly duplicates: readonly string[];
}

/** The object in the body, checked and normalised. 400, 413, 415 when there is none; unknown fields as fieldValidation says. */
export async function readObject(call: Call, expected: Expected): Promise<JsonObject> {
  const read = await readBody(call);
  return checkObject(call, expected, read.value, read.duplicates);
}

/** As readObject, for options that may be left out. */
export async function readOptions(call: Call, expected: Expected): Promise<JsonObject> {
  const bytes = await call.body();
  if (bytes.length === 0) return {};
  const { value } = await parseBody(bytes, mediaTypeOf(call));
  return checkType(expected.type, value).object;
}

/** Any value of JSON or YAML, for patches. */
export async function readBody(call: Call): Promise<Read> {
  return parseBody(await call.body(), mediaTypeOf(call));
}

export function mediaTypeOf(call: Call): string {
  return (call.headers["content-type"] ?? jsonType).split(";")[0]?.trim().toLowerCase() ?? jsonType;
}

/** The object that a value is, when it is one of the kind expected. */
export function checkObject(call: Call, expected: Expected, value: unknown, duplicates: readonly string[] = []): JsonObject {
  if (!isRecord(value)) throw badRequest(cannotBeHandled(expected, "the body is no object"));
  const apiVersion = apiVersionOf(expected);
  const kind = value["kind"] ?? expected.kind;
  const given = value["apiVersion"] ?? apiVersion;
  if (given !== apiVersion) {
    throw badRequest(`the API version in the data (${textOf(given)}) does not match the expected API version (${apiVersion})`);
  }
  if (kind !== expected.kind)
    throw badRequest(`${textOf(kind)} in version ${JSON.stringify(expected.version)} cannot be handled as a ${expected.kind}`);
  const checked = checkType(expected.type, value, { apiVersion, kind: expected.kind });
  const [fault] = checked.errors;
  if (fault !== undefined) throw badRequest(cannotBeHandled(expected, fault));
  const unknown = [...checked.unknown, ...duplicates];
  const validation = call.query.get("fieldValidation") ?? "Warn";
  if (!fieldValidations.includes(validation)) {
    throw invalidOptions(optionsKindOf(call), [notSupported("fieldValidation", validation, fieldValidations)]);
  }
  if (unknown.length > 0 && validation === "Strict") throw badRequest(cannotBeHandled(expected, strictError(unknown)));
  if (validation === "Warn" || validation === "") for (const text of unknown) call.warn(text);
  return checked.object;
}

const decoder = new TextDecoder("utf-8");

async function parseBody(bytes: Uint8Array, type: string): Promise<Read> {
  const text = (): string => decoder.decode(bytes);
  try {
    switch (type) {
      case protobufType:
        return { value: decodeProtobuf(bytes), duplicates: [] };
      case yamlType:
      case "application/apply-patch+yaml": {
        const { parseYaml } = await import("./yaml-library.ts");
        return { value: parseYaml(text(), { maxAliasCount: 100 }), duplicates: [] };
      }
      default:
        if (type !== jsonType && !type.endsWith("+json")) throw unsupportedMediaType(accepted);
        return parseJsonStrict(text());
    }
  } catch (error) {
    if (error instanceof Error && error.name === "ApiError") throw error;
    throw badRequest(`the body could not be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
