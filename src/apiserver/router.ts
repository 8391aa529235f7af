import { methodNotAllowed, notFoundPath } from "../api/status-error.ts";
import type { Answer } from "./answer.ts";
import type { Call } from "./call.ts";
import { proxyToPod, proxyToService } from "./handlers/backend-proxy.ts";
import { bind } from "./handlers/binding.ts";
import { create } from "./handlers/create.ts";
import { remove, removeCollection } from "./handlers/delete.ts";
import { evict } from "./handlers/eviction.ts";
import { getObject } from "./handlers/get.ts";
import { listObjects } from "./handlers/list.ts";
import { patch } from "./handlers/patch.ts";
import { nodeProxy, podLog, podStream } from "./handlers/pod-stream.ts";
import { scale } from "./handlers/scale.ts";
import { createToken } from "./handlers/token.ts";
import { update } from "./handlers/update.ts";
import { watchObjects } from "./handlers/watch.ts";
import type { Verb } from "./request-info.ts";

type Handler = (call: Call) => Promise<Answer>;

const objectVerbs: Readonly<Record<Verb, Handler>> = {
  get: getObject,
  list: listObjects,
  watch: watchObjects,
  create,
  update,
  patch,
  delete: remove,
  deletecollection: removeCollection,
};

const part: Readonly<Partial<Record<Verb, Handler>>> = { get: getObject, update, patch };
const any = (handler: Handler): Readonly<Record<Verb, Handler>> => ({
  get: handler,
  list: handler,
  watch: handler,
  create: handler,
  update: handler,
  patch: handler,
  delete: handler,
  deletecollection: handler,
});

/** What stands below an object, by `plural/subresource`, or `subresource` where all kinds mean the same. */
const subresources: Readonly<Record<string, Readonly<Partial<Record<Verb, Handler>>>>> = {
  status: part,
  ephemeralcontainers: part,
  finalize: { update },
  scale: { get: scale, update: scale, patch: scale },
  "pods/binding": { create: bind },
  "pods/eviction": { create: evict },
  "pods/log": { get: podLog },
  "pods/exec": { get: podStream, create: podStream },
  "pods/attach": { get: podStream, create: podStream },
  "pods/portforward": { get: podStream, create: podStream },
  "nodes/proxy": any(nodeProxy),
  "pods/proxy": any(proxyToPod),
  "services/proxy": any(proxyToService),
  "serviceaccounts/token": { create: createToken },
};

/** Finds who answers: 404 for what is not served, 405 for a verb it does not have. */
export function route(call: Call): Promise<Answer> {
  const { info, resource } = call;
  const { verb, subresource, name } = info;
  // A namespaced kind is listed and watched everywhere, all else is done in a namespace.
  if (resource.namespaced && info.namespace === "" && verb !== "list" && verb !== "watch") throw notFoundPath();
  if (!resource.namespaced && info.namespace !== "") throw notFoundPath();
  if (subresource === "") {
    if (!resource.verbs.includes(verb)) throw methodNotAllowed(resource, verb);
    if ((verb === "create") === (name !== "") && (verb === "create" || verb === "update" || verb === "patch"))
      throw methodNotAllowed(undefined, verb);
    return objectVerbs[verb](call);
  }
  const declared = resource.subresources.find((s) => s.name === subresource);
  const handlers = subresources[`${resource.plural}/${subresource}`] ?? subresources[subresource];
  if (declared === undefined || handlers === undefined) throw notFoundPath();
  const handler = handlers[verb];
  if (handler === undefined) throw methodNotAllowed(resource, verb);
  return handler(call);
}
