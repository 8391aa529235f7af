import type { FlowChange, NameChange, RouteChange } from "./differences.ts";

/** Something that works before and does not after. */
export interface Break {
  readonly kind: "connection" | "route" | "name";
  /** `10.96.0.1:80/tcp of shop/web:http`, `shop.test/old of Ingress shop/moved`, `web.shop.svc.cluster.local.` */
  readonly what: string;
  /** `rejected, from everywhere`, `answers 503`, `no longer routed`. */
  readonly why: string;
  /** Where, of a connection. */
  readonly nodes: readonly string[];
}

const senders = { pod: "Pods of the node", node: "the node itself", external: "outside" } as const;

/** `everywhere`, or who: `Pods of the node and outside`. */
export function printSenders(from: readonly FlowChange["from"][]): string {
  return from.length === Object.keys(senders).length ? "everywhere" : from.map((f) => senders[f]).join(" and ");
}

/** What would break, from what would change: each thing once, connections first. */
export function breaksOf(
  flows: readonly FlowChange[],
  routes: readonly RouteChange[],
  names: readonly NameChange[],
  connectsNobody: (name: NameChange) => boolean,
): readonly Break[] {
  const found: Break[] = [];
  const lost = Map.groupBy(
    flows.filter((f) => f.change === "lost"),
    (f) => JSON.stringify([f.to, f.before.service, f.after.verdict, f.nodes]),
  );
  for (const group of lost.values()) {
    const [one] = group;
    if (one === undefined) continue;
    const from = [...new Set(group.map((f) => f.from))];
    const verdict = { reject: "rejected", drop: "dropped", pass: "no Service takes it", deliver: "" }[one.after.verdict];
    found.push({
      kind: "connection",
      what: `${one.to}${one.before.service === null ? "" : ` of ${one.before.service}`}`,
      why: `${verdict}, from ${printSenders(from)}`,
      nodes: one.nodes,
    });
  }
  for (const route of routes) {
    const fails = route.after.some((line) => line.endsWith("answers 503") || line.endsWith("answers 503)"));
    // a host has a route of its own for all its other paths, which answers 404
    const served = route.before.some((line) => /^(forwards|redirects|filter redirect)\b/.test(line) && !/answers 503\)?$/.test(line));
    if (!served || (route.change === "changed" && !fails)) continue;
    const why = route.change === "removed" ? "no longer routed" : "answers 503";
    found.push({ kind: "route", what: `${route.rule} of ${route.object}`, why, nodes: [] });
  }
  for (const name of names) {
    if (name.change === "removed" && !connectsNobody(name)) found.push({ kind: "name", what: name.name, why: "is no more", nodes: [] });
  }
  return found;
}
