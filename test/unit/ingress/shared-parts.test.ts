import { expect, test } from "vitest";
import type { Route } from "../../../ingress/index.ts";
import { emptyRouteTable } from "../../../ingress/index.ts";
import { makeRoute } from "./proxy-lab.ts";

const forward = { ...makeRoute().action, backends: [{ pool: "p", weight: 1 }] } as Route["action"];
const hostTls = { ciphers: "HIGH" };
const guarded: Route = makeRoute({ id: "0", action: forward, hostTls, filters: [{ kind: "bodyLimit", bytes: 1 }] });

/** Changed routes, each after `guarded`; what they must keep as their own. */
const changes: readonly { readonly what: string; readonly change: Partial<Route>; readonly own: readonly string[] }[] = [
  { what: "the path", change: { path: { kind: "prefix", path: "/b" } }, own: ["path"] },
  { what: "a filter's number", change: { filters: [{ kind: "bodyLimit", bytes: 2 }] }, own: ["filters"] },
  { what: "one filter more", change: { filters: [...guarded.filters, { kind: "bodyLimit", bytes: 1 }] }, own: ["filters"] },
  { what: "no filter", change: { filters: [] }, own: ["filters"] },
  { what: "the pool", change: { action: { ...forward, backends: [{ pool: "q", weight: 1 }] } as Route["action"] }, own: ["action"] },
  { what: "an answer of its own", change: { action: { kind: "respond", status: 503, why: "" } }, own: ["action"] },
  { what: "one thing more in the action", change: { action: { ...forward, bufferRequest: true } as Route["action"] }, own: ["action"] },
  { what: "the terms of TLS", change: { hostTls: { ciphers: "LOW" } }, own: ["hostTls"] },
  { what: "the object", change: { object: { ...guarded.object, name: "other" } }, own: ["object"] },
];

test.for(changes)("routes that come together share all but $what", ({ change, own }) => {
  const next: Route = { ...guarded, id: "1", ...change };
  // as they come to a process: nothing is shared yet
  const [first, second] = JSON.parse(JSON.stringify([guarded, next])) as [Route, Route];
  const nothing = { upserts: [], deletes: [] };
  const routes = { upserts: [first, second], deletes: [] };
  const table = emptyRouteTable.with({ revision: 1, full: true, routes, pools: nothing, certificates: nothing });
  const kept = table.routes.get("1");
  expect(kept).toEqual(next);
  expect(table.routes.get("0")).toEqual(guarded);
  for (const part of ["object", "host", "filters", "action", "hostTls"] as const)
    expect([part, kept?.[part] === first[part]]).toEqual([part, !own.includes(part)]);
  if (kept?.action.kind === "forward" && first.action.kind === "forward") expect(kept.action.timeouts).toBe(first.action.timeouts);
});
