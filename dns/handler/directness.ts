import { unreachable } from "../../src/base/unreachable.ts";
import type { PluginConfig } from "../corefile/plugin-order.ts";
import type { NameMatch, RewriteRule } from "../corefile/plugins/rewrite.ts";
import { type DomainName, isInZone } from "../wire/name.ts";
import { isLeft, zonesMeet } from "./zone-match.ts";

/**
 * How much of a zone the answerer may say by itself, without the chain: all, or what exists (a plugin has more to say of what does
 * not), or nothing.
 */
export type Directness = "all" | "existing" | "none";

const order: readonly Directness[] = ["none", "existing", "all"];

export function leastDirect(all: readonly Directness[]): Directness {
  return order.find((d) => all.includes(d)) ?? "all";
}

/** What a plugin leaves of the answers for names in `zone`; `hasHost` says whether a table of hosts has one of them. */
export function directnessOf(p: PluginConfig, zone: DomainName, hasHost: (zone: DomainName) => boolean): Directness {
  const meets = (zones: readonly DomainName[]): boolean => zones.some((z) => zonesMeet(z, zone));
  switch (p.plugin) {
    // they only see what the answerer leaves over, stand behind it, or do what it does itself (ANY, rotation)
    case "any":
    case "bind":
    case "bufsize":
    case "cache":
    case "cancel":
    case "chaos":
    case "debug":
    case "errors":
    case "file":
    case "forward":
    case "health":
    case "k8s_external":
    case "loop":
    case "metadata":
    case "nsid":
    case "proxyproto":
    case "rrl":
    case "tsig":
    case "prometheus":
    case "ready":
    case "reload":
    case "root":
    case "secondary":
    case "tls":
    case "transfer":
    case "whoami":
      return "all";
    case "kubernetes":
      // any topology zone may be asked for
      return p.names.zonalNames === true ? "existing" : "all";
    case "log":
      return meets(p.zones) && !p.classes.every((c) => c === "error") ? "none" : "all";
    case "acl":
      return meets(p.zones) ? "none" : "all";
    case "autopath":
      return meets(p.zones) ? "existing" : "all";
    case "loadbalance":
      return p.policy.kind === "round_robin" && p.prefer.length === 0 ? "all" : "none";
    case "template":
      return meets(p.zones) ? "none" : "all";
    case "hosts":
      return (meets(p.zones) && !isLeft(zone, p.fallthrough)) || hasHost(zone) ? "none" : "all";
    case "rewrite":
      return isApart(p.rule, zone) ? "all" : "none";
    case "dns64":
    case "header":
    case "local":
    case "minimal":
    case "view":
      return "none";
    default:
      return unreachable(p);
  }
}

/** Whether no name of the zone is one the rule changes. */
function isApart(rule: RewriteRule, zone: DomainName): boolean {
  switch (rule.field) {
    // aliases are the chain's
    case "cname":
      return true;
    case "edns0":
      return false;
    case "type":
    case "class":
      return rule.match !== undefined && matchesNone(rule.match, zone);
    case "name":
    case "ttl":
    case "rcode":
      return matchesNone(rule.match, zone);
    default:
      return unreachable(rule);
  }
}

function matchesNone(match: NameMatch, zone: DomainName): boolean {
  if (match.kind === "exact") return !isInZone(match.text, zone);
  return match.kind === "suffix" && !zone.endsWith(match.text) && !match.text.endsWith(`.${zone}`) && match.text !== zone;
}
