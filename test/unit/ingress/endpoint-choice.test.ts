import { expect, test } from "vitest";
import { affinityValue } from "../../../ingress/balance/affinity.ts";
import type { ProxyContext } from "../../../ingress/proxy/context.ts";
import type { IncomingRequest } from "../../../ingress/proxy/downstream.ts";
import { chooseEndpoint } from "../../../ingress/proxy/endpoint-choice.ts";
import type { ClientIdentity } from "../../../ingress/proxy/forwarded.ts";
import type { CookieAffinity, Forwarding } from "../../../ingress/route/route.ts";
import { emptyRouteTable } from "../../../ingress/route/route-table.ts";
import { EndpointPicker } from "../../../ingress/upstream/endpoint-picker.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { makeForward, poolOf } from "./proxy-lab.ts";

const main = poolOf([1], "main");
const canary = poolOf([2], "canary");
const table = emptyRouteTable.with({
  revision: 1,
  full: true,
  routes: { upserts: [], deletes: [] },
  pools: { upserts: [main, canary], deletes: [] },
  certificates: { upserts: [], deletes: [] },
});

/** The pool that answers a client with the cookie of an endpoint, where chance falls on `random`. */
function answered(affinity: Partial<CookieAffinity>, cookieOf: typeof main, random: number): string | undefined {
  const context = { table, picker: new EndpointPicker(), random: () => random, clock: new FakeClock() } as unknown as ProxyContext;
  const forward = makeForward({
    backends: [
      { pool: "main", weight: 90 },
      { pool: "canary", weight: 10 },
    ],
    affinity: { cookie: "A", path: "/", changeOnFailure: false, ...affinity },
  }) as Forwarding;
  const fields = ["cookie", `A=${affinityValue(cookieOf.id, cookieOf.endpoints[0]!)}`];
  const request = { fields, authority: "a.test" } as unknown as IncomingRequest;
  const choice = chooseEndpoint(context, forward, {
    request,
    client: {} as ClientIdentity,
    requestId: "",
    pool: undefined,
    tried: new Set(),
    now: 0,
  });
  return choice?.pool.id;
}

test.for<[name: string, affinity: Partial<CookieAffinity>, cookieOf: typeof main, random: number, want: string]>([
  ["who was served by the canary stays there", {}, canary, 0, "canary"],
  ["who was served by the main stays there", {}, main, 0.95, "main"],
  ["as of old, weights count all the same", { ignoredByWeights: true }, canary, 0, "main"],
  ["and draw some to the canary", { ignoredByWeights: true }, main, 0.95, "canary"],
])("affinity and canaries: %s", ([, affinity, cookieOf, random, want]) => {
  expect(answered(affinity, cookieOf, random)).toBe(want);
});
