import { isRecord, type JsonObject, jsonEqual } from "../api/json-value.ts";
import { resourceOfKind } from "../api/scheme.ts";
import type { Client } from "../client/client.ts";
import { isAlreadyExists, isConflict } from "../client/errors.ts";
import type { KubeObject, ResourceOf } from "../client/resource.ts";
import { workError } from "./errors.ts";
import { loadObjects } from "./objects.ts";
import { mergeThreeWays } from "./three-way-merge.ts";

/** What was last applied, as kubectl keeps it: each goes on from what the other did. */
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";
/** All annotations of an object have room for 256 KiB; one that cannot be remembered is applied without taking fields away. */
const largestRemembered = 200_000;
const tries = 5;

type Annotated = KubeObject & { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };

/**
 * Creates the objects of files and folders in order, and brings those that are there to what the files say now, as `kubectl apply` does;
 * but one whose file has not changed since it was applied last is left as it has become. Answers how many there are.
 */
export async function applyPaths(client: Client, paths: readonly string[]): Promise<number> {
  const objects = loadObjects(paths, "--apply");
  for (const { apiVersion, kind, name, namespace, value, source } of objects) {
    const resource = resourceOfKind(apiVersion, kind);
    if (resource === undefined) throw workError(`${source}: ${apiVersion} ${kind}: this API has no such kind`);
    const at = { name, ...(resource.namespaced ? { namespace: namespace ?? "default" } : {}) };
    try {
      await applyObject(client, resource, at, { ...value, metadata: { ...metadataOf(value), ...at } });
    } catch (error) {
      throw workError(`${source}: ${kind} ${name}`, error);
    }
  }
  return objects.length;
}

async function applyObject(
  client: Client,
  of: ResourceOf<Annotated>,
  at: { readonly name: string; readonly namespace?: string },
  wanted: JsonObject,
): Promise<void> {
  const object = remembering(wanted);
  try {
    await client.create(of, object);
    return;
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  for (let attempt = 1; ; attempt++) {
    const there = await client.get(of, at);
    const before = parseLastApplied(there.metadata?.annotations?.[lastApplied]);
    if (before !== undefined && jsonEqual(normal(before), normal(wanted))) return;
    try {
      await client.update(of, mergeThreeWays({ ...there }, before ?? {}, object) as Annotated);
      return;
    } catch (error) {
      if (!isConflict(error) || attempt >= tries) throw error;
    }
  }
}

/** The object with itself as its annotation. */
function remembering(wanted: JsonObject): Annotated & JsonObject {
  const text = `${JSON.stringify(normal(wanted))}\n`;
  if (text.length > largestRemembered) return wanted;
  const metadata = metadataOf(wanted);
  return { ...wanted, metadata: { ...metadata, annotations: { ...annotationsOf(metadata), [lastApplied]: text } } };
}

/** With annotations, though there be none, and never with this one. */
function normal(object: JsonObject): JsonObject {
  const metadata = metadataOf(object);
  const annotations = Object.fromEntries(Object.entries(annotationsOf(metadata)).filter(([key]) => key !== lastApplied));
  return { ...object, metadata: { ...metadata, annotations } };
}

function parseLastApplied(text: string | undefined): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return isRecord(value) ? value : undefined;
  } catch {
    // Never applied, or by somebody who wrote nonsense: nothing is known of what the file had.
    return undefined;
  }
}

function metadataOf(object: JsonObject): JsonObject {
  const metadata = object["metadata"];
  return isRecord(metadata) ? metadata : {};
}

function annotationsOf(metadata: JsonObject): JsonObject {
  const annotations = metadata["annotations"];
  return isRecord(annotations) ? annotations : {};
}
