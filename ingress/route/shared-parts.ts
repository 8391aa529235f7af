import type { Route } from "./route.ts";

/**
 * The route, with what it says as `like` does taken from there. Routes that come one after the other are mostly of one host and one
 * Ingress, and differ in their path; each came with texts and objects of its own.
 */
export function sharedWith(route: Route, like: Route): Route {
  const { object, host, created, filters, action, hostTls } = like;
  return {
    ...route,
    object: shared(route.object, object),
    host: shared(route.host, host),
    created: route.created === created ? created : route.created,
    filters: shared(route.filters, filters),
    action: actionWith(route.action, action),
    ...(route.hostTls === undefined || hostTls === undefined ? {} : { hostTls: shared(route.hostTls, hostTls) }),
  };
}

function actionWith(action: Route["action"], like: Route["action"]): Route["action"] {
  if (isSame(action, like)) return like;
  if (action.kind !== "forward" || like.kind !== "forward") return action;
  const { backends, overrides, timeouts } = like;
  return {
    ...action,
    backends: shared(action.backends, backends),
    overrides: shared(action.overrides, overrides),
    timeouts: shared(action.timeouts, timeouts),
  };
}

function shared<T>(part: T, like: T): T {
  return isSame(part, like) ? like : part;
}

function isSame(part: unknown, like: unknown): boolean {
  if (part === like) return true;
  if (!isObject(part) || !isObject(like) || Array.isArray(part) !== Array.isArray(like)) return false;
  const keys = Object.keys(part);
  if (keys.length !== Object.keys(like).length) return false;
  for (const key of keys) if (!(key in like) || !isSame(part[key], like[key])) return false;
  return true;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
