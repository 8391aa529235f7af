import { defaultObject } from "../api/defaults/default-object.ts";
import { type Draft, draftOf, jsonEqual } from "../api/json-value.ts";
import type { Resource } from "../api/scheme.ts";
import { alreadyExists, badRequest, conflict, invalid, notFound } from "../api/status-error.ts";
import { prepareForCreate, prepareForUpdate } from "../api/strategy.ts";
import type { Service } from "../api/types/core-v1.generated.ts";
import { validateCreate, validateUpdate } from "../api/validate/validate-object.ts";
import type { Cidr } from "../base/cidr.ts";
import { encodeObject } from "../store/object-bytes.ts";
import { admitCreate, admitUpdate } from "./admission/admission.ts";
import { type ApiContext, timestamp } from "./call.ts";
import { generateName } from "./object-name.ts";
import { type ApiObject, type Found, keyOf } from "./registry.ts";
import { completeService } from "./services/complete-service.ts";
import type { Allocation } from "./services/service-addresses.ts";

/** Which object a write is about. */
export interface Target {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly dryRun: boolean;
}

const maxTries = 8;
/** Stores a new object, as given by the client and checked for structure; the bytes are what was stored. */
export async function createObject(context: ApiContext, target: Target, given: ApiObject): Promise<Uint8Array> {
  const { resource, namespace } = target;
  const { metadata } = given;
  if ((metadata.resourceVersion ?? "") !== "") throw badRequest("resourceVersion should not be set on objects to be created");
  checkNamespace(target, metadata.namespace);
  const generate = (metadata.name ?? "") === "" && (metadata.generateName ?? "") !== "";
  for (let attempt = 1; ; attempt++) {
    const name = generate ? generateName(metadata.generateName ?? "", context.random) : (metadata.name ?? "");
    const named = { ...given, metadata: { ...metadata, ...(name === "" ? {} : { name }), ...(namespace === "" ? {} : { namespace }) } };
    const object = await prepared(context, target, named);
    const bytes = await inTurn(context, resource, keyOf(namespace, object.metadata.name ?? ""), () => storeNew(context, target, object));
    if (bytes !== undefined) return bytes;
    if (!generate || attempt === maxTries) throw alreadyExists(resource, name);
  }
}

/**
 * Replaces an object by what `change` makes of it; tried again on a newer one when somebody was faster, unless the
 * change is meant for one revision. An update that changes nothing is not written.
 */
export async function updateObject(
  context: ApiContext,
  target: Target,
  change: (current: Found) => ApiObject | Promise<ApiObject>,
): Promise<Uint8Array> {
  const { resource, namespace, name } = target;
  const key = keyOf(namespace, name);
  for (let attempt = 1; ; attempt++) {
    const current = context.registry.find(resource, key);
    if (current === undefined) throw notFound(resource, name);
    const wanted = await change(current);
    const pinned = wanted.metadata.resourceVersion ?? "";
    if (pinned !== "" && pinned !== String(current.rev)) throw conflict(resource, name);
    const uid = wanted.metadata.uid ?? "";
    if (uid !== "" && uid !== current.object.metadata.uid) {
      throw conflict(
        resource,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.object.metadata.uid ?? ""}`,
      );
    }
    const bytes = await inTurn(context, resource, key, () => replace(context, target, current, wanted));
    if (bytes !== undefined) return bytes;
    if (pinned !== "" || attempt === maxTries) throw conflict(resource, name);
  }
}

/** Whether the last thing that kept a deleted object has gone. */
export function isReadyToGo(resource: Resource, object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers ?? []).length > 0) return false;
  if (resource.kind === "Namespace" && resource.group === "") {
    const spec = object["spec"] as { readonly finalizers?: readonly string[] } | undefined;
    return (spec?.finalizers ?? []).length === 0;
  }
  return (deletionGracePeriodSeconds ?? 0) === 0;
}

/** Takes the object out of the store, and what it held; false when somebody changed it meanwhile. */
export async function removeObject(context: ApiContext, resource: Resource, current: Found): Promise<boolean> {
  const key = keyOf(current.object.metadata.namespace ?? "", current.object.metadata.name ?? "");
  return inTurn(context, resource, key, () => removeNow(context, resource, key, current));
}

/** What is stored as it is, without rules of update: for the server's own changes of metadata. False = somebody was faster. */
export async function overwrite(
  context: ApiContext,
  resource: Resource,
  current: Found,
  object: ApiObject,
): Promise<Uint8Array | undefined> {
  const key = keyOf(object.metadata.namespace ?? "", object.metadata.name ?? "");
  const written = await context.registry.write(resource, key, object, current.rev);
  return written.kind === "written" ? written.bytes : undefined;
}

/** Writes of one Service follow each other: what one takes and gives back is never what the next one counts on. */
function inTurn<T>(context: ApiContext, resource: Resource, key: string, work: () => Promise<T>): Promise<T> {
  return isService(resource) ? context.turns.run(`services/${key}`, work) : work();
}

async function removeNow(context: ApiContext, resource: Resource, key: string, current: Found): Promise<boolean> {
  if ((await context.registry.remove(resource, key, current.rev)) === "conflict") return false;
  if (isService(resource)) context.addresses.release(key, current.object as Service);
  return true;
}

async function prepared(context: ApiContext, target: Target, given: ApiObject): Promise<ApiObject> {
  const { resource, namespace } = target;
  const admitted = await admitCreate(context, resource, defaultObject(resource, given) as ApiObject, namespace);
  const now = timestamp(context.clock);
  const object = completed(
    resource,
    prepareForCreate(resource, admitted, { now, uid: context.newUid(), namespace }) as ApiObject,
    undefined,
  );
  const errors = validateCreate(resource, object, validationOf(context));
  if (errors.length > 0) throw invalid(resource, object.metadata.name ?? "", errors);
  return object;
}

/** Undefined when the name is taken. */
async function storeNew(context: ApiContext, target: Target, object: ApiObject): Promise<Uint8Array | undefined> {
  const { resource, namespace, dryRun } = target;
  const { registry } = context;
  const key = keyOf(namespace, object.metadata.name ?? "");
  if (registry.table(resource).get(key) !== undefined) return undefined;
  const [final, allocation] = allocate(context, resource, key, object, undefined);
  if (dryRun) {
    allocation?.undo();
    const { resourceVersion: _, ...metadata } = final.metadata;
    return new TextEncoder().encode(JSON.stringify({ ...final, metadata }));
  }
  return settle(allocation, async () => {
    const written = await registry.write(resource, key, final, "absent");
    return written.kind === "written" ? written.bytes : undefined;
  });
}

/** Undefined when somebody was faster. */
async function replace(context: ApiContext, target: Target, current: Found, wanted: ApiObject): Promise<Uint8Array | undefined> {
  const { resource, namespace, name, subresource, dryRun } = target;
  const { registry } = context;
  checkNamespace(target, wanted.metadata.namespace);
  if ((wanted.metadata.name ?? name) !== name) {
    throw badRequest(`the name of the object (${wanted.metadata.name ?? ""}) does not match the name on the URL (${name})`);
  }
  const given = { ...wanted, metadata: { ...wanted.metadata, name, resourceVersion: String(current.rev) } };
  const complete = defaultObject(resource, given) as ApiObject;
  const admitted = subresource === "" ? admitUpdate(resource, complete) : complete;
  const updated = prepareForUpdate(resource, admitted, current.object, subresource) as ApiObject;
  const next = completed(resource, updated, current.object);
  const key = keyOf(namespace, name);
  const old = isService(resource) ? (current.object as Service) : undefined;
  const errors = validateUpdate(resource, next, current.object, {
    ...validationOf(context),
    subresource,
  });
  if (errors.length > 0) throw invalid(resource, name, errors);
  const [object, allocation] = subresource === "" ? allocate(context, resource, key, next, old) : ([next, undefined] as const);
  if (dryRun) {
    allocation?.undo();
    return encodeObject(registry.table(resource).head, object, current.rev);
  }
  if (isReadyToGo(resource, object)) {
    allocation?.undo();
    return (await removeNow(context, resource, key, current))
      ? encodeObject(registry.table(resource).head, object, current.rev)
      : undefined;
  }
  if (jsonEqual({ ...object, metadata: { ...object.metadata, resourceVersion: undefined } }, withoutRevision(current.object))) {
    allocation?.undo();
    return current.bytes;
  }
  return settle(allocation, async () => {
    const written = await registry.write(resource, key, object, current.rev);
    return written.kind === "written" ? written.bytes : undefined;
  });
}

function validationOf({ loopback }: ApiContext): { readonly loopback?: Cidr } {
  return loopback === undefined ? {} : { loopback };
}

function withoutRevision(object: ApiObject): ApiObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: undefined } } as unknown as ApiObject;
}

async function settle(allocation: Allocation | undefined, write: () => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
  try {
    const bytes = await write();
    if (bytes === undefined) allocation?.undo();
    else allocation?.done();
    return bytes;
  } catch (error) {
    allocation?.undo();
    throw error;
  }
}

function allocate(
  context: ApiContext,
  resource: Resource,
  key: string,
  object: ApiObject,
  old: Service | undefined,
): readonly [ApiObject, Allocation | undefined] {
  if (!isService(resource)) return [object, undefined];
  // Filled in where it stands: `completed` has made it for this write alone.
  const allocation = context.addresses.allocate(key, object as unknown as Draft<Service>, old);
  if (allocation.errors.length > 0) throw invalid(resource, object.metadata.name ?? "", allocation.errors);
  return [object, allocation];
}

function completed(resource: Resource, object: ApiObject, old: ApiObject | undefined): ApiObject {
  if (!isService(resource)) return object;
  const draft = draftOf(object) as unknown as Draft<Service>;
  completeService(draft, old as Service | undefined);
  return draft as unknown as ApiObject;
}

function checkNamespace({ resource, namespace }: Target, given: string | undefined): void {
  if (given === undefined || given === "" || given === namespace) return;
  if (resource.namespaced) throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
}

function isService(resource: Resource): boolean {
  return resource.kind === "Service" && resource.group === "";
}
