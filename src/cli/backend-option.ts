import type { ProxyConfiguration } from "../../rules/config/proxy-configuration.ts";
import { type Backend, backends } from "../../rules/model/backend.ts";
import { usageError } from "./errors.ts";
import type { Asked } from "./question.ts";

/** What was asked for; `all` is every one. Throws a usage error with the list of what there is. */
export function parseBackends(asked: string | undefined): readonly Backend[] | undefined {
  if (asked === undefined) return undefined;
  if (asked === "all") return backends;
  const found = backends.find((b) => b === asked);
  if (found === undefined) throw usageError(`--backend ${asked}: there are ${backends.join(", ")}`);
  return [found];
}

/** The one that the configuration names, else the one that the running node has; for objects from files, nftables. */
export function backendOf(asked: Asked, node: string, configured?: ProxyConfiguration): Backend {
  const named = configured === undefined ? undefined : backends.find((b) => b === configured.mode);
  if (named !== undefined) return named;
  const status = asked.cluster?.status;
  const told = status?.nodes.find((n) => n.name === node)?.backend;
  return backends.find((b) => b === told) ?? (status?.mode === "plain" ? "userspace" : "nftables");
}
