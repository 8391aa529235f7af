import type { Ingress } from "../../src/api/types/networking-v1.generated.ts";
import { objectKey } from "../../src/snapshot/cluster-snapshot.ts";
import type { Route } from "../route/route.ts";
import { annotationPrefix } from "./annotation-table.ts";

/** A habit of ingress-nginx that an Ingress relies on, or may be surprised by; it is kept here. */
export interface Quirk {
  readonly quirk: string;
  /** Which host and path, or which other Ingress, it is about. */
  readonly where: string;
  readonly message: string;
}

interface World {
  readonly all: readonly Ingress[];
  readonly routes: readonly Route[];
}

export function quirksOf(ingress: Ingress, world: World): readonly Quirk[] {
  const key = objectKey(ingress);
  const own = world.routes.filter((r) => `${r.object.namespace ?? ""}/${r.object.name}` === key && r.object.kind === "Ingress");
  return [...own.flatMap((r) => routeQuirks(r, ingress, world)), ...annotationQuirks(ingress)];
}

function routeQuirks(route: Route, ingress: Ingress, { all, routes }: World): readonly Quirk[] {
  const where = route.rule;
  switch (route.path.kind) {
    case "regex": {
      const makers = all.filter((i) => makesRegex(i, hostOf(route))).map(objectKey);
      const message = `a regular expression, in any case, found at the start of the path: ${route.path.pattern} also takes what only begins so`;
      const others = makers.filter((k) => k !== objectKey(ingress));
      return [
        { quirk: "regex-path", where, message },
        ...(makers.includes(objectKey(ingress)) || others.length === 0
          ? []
          : [{ quirk: "regex-host", where, message: `its host is all regular expressions because of Ingress ${others.join(", ")}` }]),
      ];
    }
    case "string":
      return route.path.path === "/"
        ? []
        : [
            {
              quirk: "plain-beginning",
              where,
              message: `ImplementationSpecific is a beginning by letters: ${route.path.path} also takes ${route.path.path}x`,
            },
          ];
    case "exact":
      return route.action.kind === "redirect" && route.action.status === 301 && route.action.location.kind === "path"
        ? [{ quirk: "closing-slash", where, message: `${route.path.path} is a 301 to ${route.action.location.path}, for nobody claims it` }]
        : [];
    case "fallback":
      return route.action.kind === "none" && !routes.some((r) => hostOf(r) === hostOf(route) && takesAll(r))
        ? [{ quirk: "unclaimed-paths", where, message: "other paths of the host are 404: they do not fall to rules without a host" }]
        : [];
    case "prefix":
      return [];
  }
}

function takesAll({ path }: Route): boolean {
  return ((path.kind === "prefix" || path.kind === "string") && path.path === "/") || (path.kind === "regex" && path.pattern === "/");
}

function annotationQuirks(ingress: Ingress): readonly Quirk[] {
  const { metadata, spec } = ingress;
  const has = (name: string): boolean => (metadata?.annotations?.[`${annotationPrefix}${name}`] ?? "") !== "";
  const where = "";
  const quirks: Quirk[] = [];
  if ((has("limit-rps") || has("limit-rpm")) && !has("limit-burst-multiplier"))
    quirks.push({
      quirk: "limit-burst",
      where,
      message: "a burst of five times the rate is let through, each node counts its own, and the answer is 503",
    });
  if ((spec?.tls ?? []).length > 0 && !has("ssl-redirect"))
    quirks.push({ quirk: "ssl-redirect", where, message: "plain http of its TLS hosts is a 308 to https, with HSTS of a year behind it" });
  if (has("canary") && [...Object.keys(metadata?.annotations ?? {})].some((name) => isIgnoredByCanary(name)))
    quirks.push({
      quirk: "canary-annotations",
      where,
      message: "a canary's annotations are ignored but canary-*, load-balance, upstream-hash-by and affinity: the main Ingress' count",
    });
  if (has("rewrite-target") && !/\$[1-9]/.test(metadata?.annotations?.[`${annotationPrefix}rewrite-target`] ?? ""))
    quirks.push({ quirk: "rewrite-to-one", where, message: "a rewrite-target without $1 sends every path below to that one" });
  return quirks;
}

function isIgnoredByCanary(name: string): boolean {
  return (
    name.startsWith(annotationPrefix) &&
    !/^(canary|affinity|session-cookie|load-balance$|upstream-hash-by)/.test(name.slice(annotationPrefix.length))
  );
}

function makesRegex(ingress: Ingress, host: string): boolean {
  const annotations = ingress.metadata?.annotations ?? {};
  const target = annotations[`${annotationPrefix}rewrite-target`] ?? "";
  const asks = /^(1|t|T|true|TRUE|True)$/.test(annotations[`${annotationPrefix}use-regex`] ?? "") || target !== "";
  return asks && (ingress.spec?.rules ?? []).some((r) => (r.host ?? "").toLowerCase() === host);
}

function hostOf(route: Route): string {
  return route.host.kind === "exact" ? route.host.name : route.host.kind === "wildcard" ? `*${route.host.suffix}` : "";
}
