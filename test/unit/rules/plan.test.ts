import { describe, expect, test } from "vitest";
import { ProxyPlan } from "../../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions, type PlanOptions, widest } from "../../../rules/plan/service-plan.ts";
import { staleFlows } from "../../../rules/plan/stale-flows.ts";
import { serviceRanges } from "../../../rules/plan/surroundings.ts";
import type { Service } from "../../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../../src/api/types/discovery-v1.generated.ts";
import { parseCidr, printCidr } from "../../../src/base/cidr.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../../support/rules-objects.ts";

const node = makeNode("n", ["192.0.2.1", "fd00::1"], ["10.244.0.0/24"]);
function planOf(objects: readonly (Service | EndpointSlice)[], options: Partial<PlanOptions> = {}): ProxyPlan {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  fillStore(store, [node, ...objects]);
  const plan = new ProxyPlan("n", { ...defaultPlanOptions, ...options });
  const batch = cursor.take();
  if (batch !== undefined) plan.apply(batch);
  return plan;
}
const keys = (plan: ProxyPlan): readonly string[] => [...plan.frontends.keys()].sort();
const web = (spec: Parameters<typeof makeService>[1] = {}, more: Parameters<typeof makeService>[2] = {}) =>
  makeService("web", { clusterIP: "10.96.0.1", ...spec }, more);

const affine = (timeoutSeconds: number) => web({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds } } });

describe("how the endpoints of a Service share connections", () => {
  const endpoints = makeSlice("web", [
    { ip: "10.244.0.1", pod: "web-0", node: "n", zone: "east" },
    { ip: "10.244.0.2", pod: "web-1", node: "m", zone: "west" },
    { ip: "10.244.0.3", pod: "web-2", hostname: "third", node: "m", zone: "west" },
  ]);
  type Row = readonly [string, Readonly<Record<string, string>>, string, readonly number[], string?];
  const balance = (text: string) => ({ "fairway.dev/balance": text });
  const weights = (text: string) => ({ "fairway.dev/weights": text });
  const rows: readonly Row[] = [
    ["no annotation", {}, "random", [1, 1, 1]],
    ["random", balance("random"), "random", [1, 1, 1]],
    ["source hash", balance("source-hash"), "source-hash", [1, 1, 1]],
    ["Maglev", balance("maglev"), "maglev", [1, 1, 1]],
    ["least connections", balance("least-connections"), "least-connections", [1, 1, 1]],
    ["weights of pods", { ...balance("weighted"), ...weights("web-0=3, web-2=2") }, "random", [3, 1, 2]],
    ["weights alone", weights("web-1=7"), "random", [1, 7, 1]],
    ["a host name", weights("third=4"), "random", [1, 1, 4]],
    ["nodes", weights("n=5,m=2"), "random", [5, 2, 2]],
    ["zones", weights("zone:west=2"), "random", [1, 2, 2]],
    [
      "an address, before a pod, before a node, before a zone",
      weights("10.244.0.3=9,web-1=8,web-2=1,m=2,n=6,zone:east=3"),
      "random",
      [6, 8, 9],
    ],
    ["weight 0 takes part no more", weights("web-0=0"), "random", [1, 1]],
    ["only weights 0: as without", weights("n=0,m=0"), "random", [1, 1, 1]],
    ["weights of Maglev", { ...balance("maglev"), ...weights("web-0=3") }, "maglev", [3, 1, 1]],
    ["a policy nobody knows", balance("fastest"), "random", [1, 1, 1], "BalanceInvalid"],
    ["a weight that is no number", weights("web-0=x,web-1=3"), "random", [1, 1, 1], "WeightsInvalid"],
    ["a weight too large", weights("web-0=1001"), "random", [1, 1, 1], "WeightsInvalid"],
    ["a negative weight", weights("web-0=-1"), "random", [1, 1, 1], "WeightsInvalid"],
    ["nothing where weights should be", weights(""), "random", [1, 1, 1], "WeightsInvalid"],
  ];
  test.each(rows.map((row) => [row[0], row] as const))("%s", (_, [, annotations, want, shares, reason]) => {
    const plan = planOf([web({}, { metadata: { annotations } }), endpoints]);
    const { action } = plan.frontends.get("10.96.0.1:80/tcp") ?? {};
    const pool = action?.kind === "balance" ? action.pool : undefined;
    expect(pool?.balance ?? "random").toBe(want);
    expect(pool?.members.map((m) => m.weight ?? 1)).toEqual(shares);
    const problems = [...plan.problems()];
    expect(problems.map((p) => p.reason)).toEqual(reason === undefined ? [] : [reason]);
    for (const p of problems) {
      expect(p.field).toContain(Object.keys(annotations)[0]);
      expect(p.message).toContain("random is used");
    }
  });

  test("session affinity leaves nothing to a hash", () => {
    const plan = planOf([web({ sessionAffinity: "ClientIP" }, { metadata: { annotations: balance("source-hash") } }), endpoints]);
    const { action } = plan.frontends.get("10.96.0.1:80/tcp") ?? {};
    expect(action?.kind === "balance" ? action.pool.balance : "none").toBeUndefined();
    expect([...plan.problems()].map((p) => p.reason)).toEqual(["BalanceUnused"]);
  });

  test("an annotation that changes is a change of the frontend, and back again", () => {
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    fillStore(store, [node, web(), endpoints]);
    const plan = new ProxyPlan("n", defaultPlanOptions);
    const changed: number[] = [];
    for (const annotations of [undefined, weights("web-0=2"), balance("maglev"), balance("maglev"), {}]) {
      if (annotations !== undefined) put(store, "Service", web({}, { metadata: { annotations } }), String(changed.length + 2));
      const batch = cursor.take();
      changed.push(batch === undefined ? 0 : plan.apply(batch).frontends.changed.size);
    }
    expect(changed).toEqual([1, 1, 1, 0, 1]);
  });
});

describe("frontends of a Service", () => {
  const rows: readonly (readonly [string, Service, readonly string[]])[] = [
    ["ClusterIP", web(), ["10.96.0.1:80/tcp"]],
    ["dual stack", web({ clusterIPs: ["10.96.0.1", "fd96::1"] }), ["10.96.0.1:80/tcp", "[fd96::1]:80/tcp"]],
    ["headless", web({ clusterIP: "None" }), []],
    ["not allocated yet", web({ clusterIP: "" }), []],
    ["ExternalName", web({ type: "ExternalName", clusterIP: "10.96.0.1" }), []],
    ["for another proxy", web({}, { metadata: { labels: { "service.kubernetes.io/service-proxy-name": "x" } } }), []],
    ["NodePort", web({ type: "NodePort", ports: [{ port: 80, nodePort: 30000 }] }), ["10.96.0.1:80/tcp", "nodePort4:30000/tcp"]],
    ["a node port left over on a ClusterIP Service", web({ ports: [{ port: 80, nodePort: 30000 }] }), ["10.96.0.1:80/tcp"]],
    [
      "one port on two protocols",
      web({
        ports: [
          { name: "t", port: 53 },
          { name: "u", port: 53, protocol: "UDP" },
        ],
      }),
      ["10.96.0.1:53/tcp", "10.96.0.1:53/udp"],
    ],
    ["SCTP", web({ ports: [{ port: 80, protocol: "SCTP" }] }), ["10.96.0.1:80/sctp"]],
    [
      "external IPs of the Service's families only",
      web({ externalIPs: ["198.51.100.1", "fd98::1"] }),
      ["10.96.0.1:80/tcp", "198.51.100.1:80/tcp"],
    ],
    [
      "load balancer without node ports",
      web(
        { type: "LoadBalancer", allocateLoadBalancerNodePorts: false },
        { status: { loadBalancer: { ingress: [{ ip: "198.51.100.1" }, { hostname: "lb.example" }] } } },
      ),
      ["10.96.0.1:80/tcp", "198.51.100.1:80/tcp"],
    ],
    [
      "ipMode Proxy",
      web({ type: "LoadBalancer" }, { status: { loadBalancer: { ingress: [{ ip: "198.51.100.1", ipMode: "Proxy" }] } } }),
      ["10.96.0.1:80/tcp"],
    ],
    [
      "ingress status of a Service that is no load balancer",
      web({}, { status: { loadBalancer: { ingress: [{ ip: "198.51.100.1" }] } } }),
      ["10.96.0.1:80/tcp"],
    ],
  ];
  test.each(rows)("%s", (_, service, want) => {
    expect(keys(planOf([service]))).toEqual([...want].sort());
  });

  test("the address this node serves itself has none", () => {
    expect(keys(planOf([web({ type: "NodePort", ports: [{ port: 53, nodePort: 30053 }] })], { localDnsIps: ["10.96.0.1"] }))).toEqual([
      "nodePort4:30053/tcp",
    ]);
  });
});

describe("problems name the object, the field and the other party", () => {
  test.each([
    [web({ clusterIP: "10.96" }), "spec.clusterIPs[0]", "AddressInvalid"],
    [web({ externalIPs: ["127.0.0.1"] }), "spec.externalIPs[0]", "AddressForbidden"],
    [web({ ports: [{ port: 80, protocol: "QUIC" }] }), "spec.ports[0].protocol", "ProtocolUnknown"],
    [web({ ports: [{ port: 0 }] }), "spec.ports[0].port", "PortInvalid"],
    [web({ ports: [{ port: 65_536 }] }), "spec.ports[0].port", "PortInvalid"],
    [web({ type: "NodePort", ports: [{ port: 80, nodePort: 99_999 }] }), "spec.ports[0].nodePort", "PortInvalid"],
    [web({ type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 99_999 }), "spec.healthCheckNodePort", "PortInvalid"],
    [affine(0), "spec.sessionAffinityConfig.clientIP.timeoutSeconds", "AffinityInvalid"],
    [affine(1e20), "spec.sessionAffinityConfig.clientIP.timeoutSeconds", "AffinityInvalid"],
    [web({ type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.0"] }), "spec.loadBalancerSourceRanges[0]", "RangeInvalid"],
  ])("%#", (service, field, reason) => {
    expect([...planOf([service]).problems()]).toMatchObject([
      { field, reason, object: { kind: "Service", namespace: "test", name: "web" } },
    ]);
  });

  test("two Services claim one address: the older has it, the other is told; when that one goes, it gets it", () => {
    const at = (name: string, created: string) =>
      makeService(
        name,
        { clusterIP: `10.96.0.${name.length}`, externalIPs: ["198.51.100.1"] },
        { metadata: { creationTimestamp: created } },
      );
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    const plan = new ProxyPlan("n", defaultPlanOptions);
    const apply = (): ReturnType<ProxyPlan["apply"]> => {
      const batch = cursor.take();
      if (batch === undefined) throw new Error("nothing changed");
      return plan.apply(batch);
    };
    fillStore(store, [node, at("younger", "2026-02-02T00:00:00Z"), at("old", "2026-01-01T00:00:00Z")]);
    apply();
    expect(plan.frontends.get("198.51.100.1:80/tcp")?.owner.name).toBe("old");
    expect([...plan.problems()]).toMatchObject([{ object: { name: "younger" }, field: "spec.externalIPs", reason: "AddressConflict" }]);
    expect([...plan.problems()][0]?.message).toContain("Service test/old");
    store.apply("Service", "test/old", undefined, "2");
    expect(apply().problems.lost.length).toBe(1);
    expect(plan.frontends.get("198.51.100.1:80/tcp")?.owner.name).toBe("younger");
    expect([...plan.problems()]).toEqual([]);
  });

  test("two Services of one age claim one node port: by namespace and name", () => {
    const at = (name: string, ip: string) => makeService(name, { clusterIP: ip, type: "NodePort", ports: [{ port: 80, nodePort: 30000 }] });
    const plan = planOf([at("b", "10.96.0.1"), at("a", "10.96.0.2")]);
    expect(plan.frontends.get("nodePort4:30000/tcp")?.owner.name).toBe("a");
    expect([...plan.problems()]).toMatchObject([{ object: { name: "b" }, reason: "PortConflict" }]);
  });
});

describe("health check ports that clash", () => {
  const balancer = (name: string, created: string, healthCheckNodePort: number) =>
    makeService(
      name,
      { type: "LoadBalancer", externalTrafficPolicy: "Local", clusterIP: `10.96.0.${name.length}`, healthCheckNodePort },
      { metadata: { creationTimestamp: created } },
    );
  const problemsOf = (plan: ProxyPlan) =>
    [...plan.problems()].map(({ object, reason, message }) => ({ name: object.name, reason, message }));

  test("of two Services: the younger one is told; when the older goes, it is not", () => {
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    const plan = new ProxyPlan("n", defaultPlanOptions);
    const apply = () => {
      const batch = cursor.take();
      return batch === undefined ? undefined : plan.apply(batch);
    };
    fillStore(store, [node, balancer("young", "2026-02-02T00:00:00Z", 32_000), balancer("old", "2026-01-01T00:00:00Z", 32_000)]);
    expect(apply()?.problems.gained).toHaveLength(1);
    expect(problemsOf(plan)).toEqual([
      { name: "young", reason: "PortConflict", message: expect.stringContaining("port 32000 belongs to Service test/old") },
    ]);
    put(store, "Service", balancer("old", "2026-01-01T00:00:00Z", 32_001), "2");
    expect(apply()?.problems).toMatchObject({ gained: [], lost: [{ object: { name: "young" } }] });
    put(store, "Service", balancer("old", "2026-01-01T00:00:00Z", 32_000), "3");
    apply();
    expect(problemsOf(plan)).toHaveLength(1);
    store.apply("Service", "test/old", undefined, "4");
    apply();
    expect(problemsOf(plan)).toEqual([]);
  });

  test("with a node port, whichever comes first", () => {
    const nodePort = makeService("web", { type: "NodePort", clusterIP: "10.96.0.9", ports: [{ port: 80, nodePort: 32_000 }] });
    const clash = [{ name: "lb", reason: "PortConflict", message: expect.stringContaining("is a node port of Service test/web") }];
    expect(problemsOf(planOf([balancer("lb", "2026-01-01T00:00:00Z", 32_000), nodePort]))).toEqual(clash);
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    const plan = new ProxyPlan("n", defaultPlanOptions);
    fillStore(store, [node, balancer("lb", "2026-01-01T00:00:00Z", 32_000)]);
    for (const change of [
      () => undefined,
      () => put(store, "Service", nodePort, "2"),
      () => store.apply("Service", "test/web", undefined, "3"),
    ]) {
      change();
      const batch = cursor.take();
      if (batch !== undefined) plan.apply(batch);
      expect(problemsOf(plan)).toEqual(plan.frontends.has("nodePort4:32000/tcp") ? clash : []);
    }
  });
});

describe("ranges and addresses that cannot be used", () => {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  const plan = new ProxyPlan("n", defaultPlanOptions);
  const take = (): ReturnType<ProxyPlan["apply"]> => {
    const batch = cursor.take();
    if (batch === undefined) throw new Error("nothing changed");
    return plan.apply(batch);
  };
  const serviceCidr = (...cidrs: readonly string[]) => ({ metadata: { name: "kubernetes" }, spec: { cidrs: [...cidrs] } });

  test("of a Node: only it says so; the rest counts", () => {
    const bad = makeNode("n", ["192.0.2.1", "192.0.2.300"], ["10.244.0.0/33", "10.245.0.0/24"]);
    put(store, "Node", bad);
    put(store, "Node", makeNode("m", [], ["nonsense"]));
    take();
    expect(plan.node).toMatchObject({ addresses: ["192.0.2.1"], podCidrs: [{ ip: "10.245.0.0", bits: 24 }] });
    expect(plan.nodeProblems).toMatchObject([
      { object: { kind: "Node", name: "n" }, field: "spec.podCIDRs[0]", reason: "RangeInvalid" },
      { object: { kind: "Node", name: "n" }, field: "status.addresses[1].address", reason: "AddressInvalid" },
    ]);
    expect([...plan.problems()]).toEqual([]);
    put(store, "Node", { ...bad, spec: { podCIDR: "10.244.0.0/-1" }, status: {} }, "2");
    take();
    expect(plan.nodeProblems).toMatchObject([{ field: "spec.podCIDR", reason: "RangeInvalid" }]);
    put(store, "Node", { ...bad, spec: { podCIDR: "" }, status: { addresses: [{ type: "Hostname", address: "n" }] } }, "3");
    take();
    expect(plan.nodeProblems).toEqual([]);
  });

  test("of a ServiceCIDR: every node says so; the rest counts, and when it is mended the problem goes", () => {
    put(store, "ServiceCIDR", serviceCidr("10.96.0.0/16", "fd00::/200"));
    const problem = { object: { kind: "ServiceCIDR", name: "kubernetes" }, field: "spec.cidrs[1]", reason: "RangeInvalid" };
    expect(take().problems).toMatchObject({ gained: [problem], lost: [] });
    expect([...plan.problems()]).toMatchObject([problem]);
    expect(serviceRanges(store.current)).toMatchObject([{ ip: "10.96.0.0", bits: 16 }]);
    put(store, "Node", makeNode("n", [], []), "4");
    expect(take().problems).toEqual({ gained: [], lost: [] });
    put(store, "ServiceCIDR", serviceCidr("10.96.0.0/16", "fd00::/112"), "2");
    expect(take().problems).toMatchObject({ gained: [], lost: [problem] });
    expect([...plan.problems()]).toEqual([]);
  });
});

describe("source ranges", () => {
  const ranges = (texts: readonly string[]): readonly string[] | undefined => {
    const service = web(
      { type: "LoadBalancer", loadBalancerSourceRanges: [...texts] },
      { status: { loadBalancer: { ingress: [{ ip: "198.51.100.1" }] } } },
    );
    return planOf([service]).frontends.get("198.51.100.1:80/tcp")?.sources?.map(printCidr);
  };
  test.each([
    [[], undefined],
    [["10.0.0.0/8"], ["10.0.0.0/8"]],
    [["10.0.0.0/8", " 10.1.0.0/16 ", "10.0.0.0/8"], ["10.0.0.0/8"]],
    [["0.0.0.0/0", "10.0.0.0/8"], undefined],
    [["192.0.2.0/24"], ["192.0.2.0/24", "198.51.100.1/32"]],
    [["fd00::/8"], undefined],
    [["nonsense"], []],
  ])("%j: %j", (texts, want) => {
    expect(ranges(texts)).toEqual(want);
  });

  test("no range contains another", () => {
    const of = (texts: readonly string[]) => widest(texts.flatMap((t) => parseCidr(t) ?? [])).map(printCidr);
    expect(of(["10.1.2.0/24", "10.1.0.0/16", "10.2.0.0/16", "10.1.2.3/32"])).toEqual(["10.1.0.0/16", "10.2.0.0/16"]);
  });
});

test("a health check counts ready local addresses once, for policy Local only", () => {
  const service = (policy: string) =>
    web({
      type: "LoadBalancer",
      externalTrafficPolicy: policy,
      healthCheckNodePort: 32000,
      ports: [
        { name: "a", port: 80 },
        { name: "b", port: 81 },
      ],
    });
  const ports = [
    { name: "a", port: 8080 },
    { name: "b", port: 8081 },
  ];
  const slice = makeSlice(
    "web",
    [
      { ip: "10.244.0.1", node: "n" },
      { ip: "10.244.0.2", node: "n", ready: false },
      { ip: "10.244.1.1", node: "m" },
    ],
    { ports },
  );
  expect(planOf([service("Local"), slice]).services.get("test/web")?.healthCheck).toEqual({
    port: 32000,
    createdAt: "",
    namespace: "test",
    name: "web",
    localEndpoints: 1,
  });
  expect(planOf([service("Cluster"), slice]).services.get("test/web")?.healthCheck).toBeUndefined();
});

test("policies that have endpoints on other nodes only are counted", () => {
  const slice = makeSlice("web", [{ ip: "10.244.1.1", node: "m" }]);
  const of = (spec: Parameters<typeof makeService>[1]) => planOf([web(spec), slice]).services.get("test/web")?.withoutLocal;
  expect(of({})).toEqual([]);
  expect(of({ internalTrafficPolicy: "Local" })).toEqual(["internal4"]);
  expect(of({ externalTrafficPolicy: "Local", type: "NodePort" })).toEqual(["external4"]);
});

test("a change of our own Node's zone recomputes all Services, another Node's none", () => {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  const plan = new ProxyPlan("n", defaultPlanOptions);
  fillStore(store, [
    node,
    web(),
    makeSlice("web", [
      { ip: "10.244.0.1", zones: ["y"] },
      { ip: "10.244.0.2", zones: ["z"] },
    ]),
  ]);
  const apply = (): number => {
    const batch = cursor.take();
    return batch === undefined ? -1 : plan.apply(batch).frontends.changed.size;
  };
  expect(apply()).toBe(1);
  put(store, "Node", makeNode("m", ["192.0.2.2"], []), "2");
  expect(apply()).toBe(0);
  put(store, "Node", { ...node, metadata: { ...node.metadata, labels: { "topology.kubernetes.io/zone": "z" } } }, "3");
  expect(apply()).toBe(1);
});

test("stale are UDP flows to a frontend with endpoints, answered by none of them", () => {
  const udp = (name: string, ip: string) =>
    makeService(name, { clusterIP: ip, type: "NodePort", ports: [{ port: 53, protocol: "UDP", nodePort: 30000 + Number(ip.at(-1)) }] });
  const plan = planOf([
    udp("web", "10.96.0.1"),
    udp("empty", "10.96.0.2"),
    makeSlice("web", ["10.244.0.1"], { ports: [{ name: "", protocol: "UDP", port: 53 }] }),
  ]);
  const flow = (to: string, toPort: number, answers: string, answersPort = 53) => ({ to, toPort, answers, answersPort });
  const flows = [
    flow("10.96.0.1", 53, "10.244.0.1"),
    flow("10.96.0.1", 53, "10.244.0.9"),
    flow("10.96.0.1", 53, "10.96.0.1"), // from before the Service had rules
    flow("10.96.0.1", 54, "10.244.0.9"),
    flow("10.96.0.2", 53, "10.244.0.9"), // no endpoints: left alone
    flow("192.0.2.1", 30001, "10.244.0.9"),
    flow("192.0.2.99", 30001, "10.244.0.9"), // not an address of this node
  ];
  expect(
    staleFlows(
      flows,
      (key) => plan.frontends.get(key),
      (ip) => ip === "192.0.2.1",
    ),
  ).toEqual([flows[1], flows[2], flows[5]]);
});

test.each([
  ["ends", { ip: "10.244.0.2", terminating: true }, "kept"],
  ["ends and serves no more", { ip: "10.244.0.2", terminating: true, serving: false }, "stale"],
  ["is not ready and serves", { ip: "10.244.0.2", ready: false, serving: true }, "kept"],
  ["is neither ready nor serving", { ip: "10.244.0.2", ready: false }, "stale"],
] as const)("UDP flows of an endpoint that %s", (_, endpoint, want) => {
  const plan = planOf([
    web({ ports: [{ port: 53, protocol: "UDP" }] }),
    makeSlice("web", ["10.244.0.1", endpoint], { ports: [{ name: "", protocol: "UDP", port: 53 }] }),
  ]);
  const frontend = plan.frontends.get("10.96.0.1:53/udp");
  expect(frontend?.action).toMatchObject({ pool: { members: [{ ip: "10.244.0.1" }] } });
  const flow = { to: "10.96.0.1", toPort: 53, answers: "10.244.0.2", answersPort: 53 };
  const stale = staleFlows(
    [flow],
    (key) => plan.frontends.get(key),
    () => false,
  );
  expect(stale).toEqual(want === "stale" ? [flow] : []);
});

test.each([
  ["hints pass over", {}, { zones: ["west"] }],
  ["a weight of 0 passes over", { "fairway.dev/weights": "b=0" }, { zones: ["east"], pod: "b" }],
] as const)("UDP flows of an endpoint that %s are kept", (_, annotations, more) => {
  const udp = { ports: [{ name: "", protocol: "UDP", port: 53 }] };
  const slice = makeSlice(
    "web",
    [
      { ip: "10.244.0.1", zones: ["east"] },
      { ip: "10.244.0.2", ...more },
    ],
    udp,
  );
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  const zoned = makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"], { "topology.kubernetes.io/zone": "east" });
  fillStore(store, [zoned, web({ ports: [{ port: 53, protocol: "UDP" }] }, { metadata: { annotations } }), slice]);
  const plan = new ProxyPlan("n", defaultPlanOptions);
  const batch = cursor.take();
  if (batch !== undefined) plan.apply(batch);
  const action = plan.frontends.get("10.96.0.1:53/udp")?.action;
  expect(action).toMatchObject({ pool: { members: [{ ip: "10.244.0.1" }] }, serving: [{ ip: "10.244.0.1" }, { ip: "10.244.0.2" }] });
});
