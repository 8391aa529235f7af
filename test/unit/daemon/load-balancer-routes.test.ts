import { expect, test } from "vitest";
import type { Service } from "../../../src/api/types/core-v1.generated.ts";
import type { EndpointConditions, EndpointSlice } from "../../../src/api/types/discovery-v1.generated.ts";
import { chooseNodes } from "../../../src/daemon/load-balancer-routes.ts";

const ip4 = "192.0.2.1";
const ip6 = "2001:db8::1";
const service = (o: { ips?: readonly string[]; policy?: string; type?: string } = {}): Service => ({
  metadata: { namespace: "shop", name: "web" },
  spec: { type: o.type ?? "LoadBalancer", externalTrafficPolicy: o.policy ?? "Local" },
  status: { loadBalancer: { ingress: (o.ips ?? [ip4]).map((ip) => ({ ip })) } },
});
const slice = (addressType: string, ...endpoints: readonly [node: string, conditions?: EndpointConditions][]): EndpointSlice => ({
  metadata: { name: addressType },
  addressType,
  endpoints: endpoints.map(([nodeName, conditions]) => ({ addresses: [], nodeName, ...(conditions === undefined ? {} : { conditions }) })),
});
const chosen = (s: Service, slices: readonly EndpointSlice[], now: Record<string, string> = {}) =>
  Object.fromEntries(chooseNodes([s], () => slices, new Map(Object.entries(now))));

const ready = { ready: true };
const leaving = { ready: false, serving: true, terminating: true };
const v4 = slice("IPv4", ["node-3", ready], ["node-2", ready]);

test.each<[string, Record<string, string>, Service, readonly EndpointSlice[], Record<string, string>?]>([
  ["a node that has a ready endpoint", { [ip4]: "node-2" }, service(), [v4]],
  ["conditions that are not told mean ready", { [ip4]: "node-2" }, service(), [slice("IPv4", ["node-2"])]],
  ["the one chosen before, while it has one", { [ip4]: "node-3" }, service(), [v4], { [ip4]: "node-3" }],
  ["another when it has none any more", { [ip4]: "node-2" }, service(), [v4], { [ip4]: "node-1" }],
  ["not one whose endpoint leaves", { [ip4]: "node-2" }, service(), [slice("IPv4", ["node-1", leaving], ["node-2", ready])]],
  ["unless there is no other", { [ip4]: "node-1" }, service(), [slice("IPv4", ["node-1", leaving], ["node-2", { ready: false }])]],
  ["none without endpoints", {}, service(), [slice("IPv4", ["node-2", { ready: false }])]],
  [
    "each family by its own endpoints",
    { [ip4]: "node-2", [ip6]: "node-9" },
    service({ ips: [ip4, ip6] }),
    [v4, slice("IPv6", ["node-9", ready])],
  ],
  ["policy Cluster: any node serves it", {}, service({ policy: "Cluster" }), [v4]],
  ["other types have no such address", {}, service({ type: "NodePort" }), [v4]],
])("%s", (_, want, of, slices, now) => {
  expect(chosen(of, slices, now)).toEqual(want);
});
