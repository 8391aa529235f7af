import { describe, expect, test } from "vitest";
import { compileOffline, type RuleOptions } from "../../../rules/index.ts";
import { itemsOf } from "../../../rules/ipvs/program.ts";
import { type IpvsItem, isOwnFwmark, itemId } from "../../../rules/ipvs/values.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice } from "../../support/rules-objects.ts";

type Spec = NonNullable<Parameters<typeof makeService>[1]>;

interface Case {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Partial<Spec>;
  readonly options?: Partial<RuleOptions>;
}

/** One Service with an endpoint on this node and one elsewhere. */
function compiled({ annotations = {}, spec = {}, options = {} }: Case) {
  const store = new SnapshotStore();
  fillStore(store, [
    makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]),
    makeService(
      "web",
      { clusterIP: "10.96.0.1", externalIPs: ["198.51.100.1"], ...spec },
      { metadata: { namespace: "test", name: "web", annotations: { ...annotations } } },
    ),
    makeSlice("web", [
      { ip: "10.244.0.5", node: "n" },
      { ip: "10.244.1.5", node: "m" },
    ]),
  ]);
  const program = compileOffline(store.current, { families: [4], ...options, nodeName: "n", backend: "ipvs" });
  const items: readonly IpvsItem[] = [...(program.ipvs?.held.values() ?? [])].flatMap(({ wanted }) => [...itemsOf(wanted)]);
  return { program, items };
}

const servicesOf = (of: Case) =>
  compiled(of)
    .items.flatMap((item) =>
      item.kind === "service"
        ? [
            {
              ...item.service,
              match: item.service.match.kind === "fwmark" ? "fwmark" : `${item.service.match.ip}:${item.service.match.port}`,
            },
          ]
        : [],
    )
    .sort((a, b) => (a.match < b.match ? -1 : 1));

describe("how endpoints are chosen", () => {
  test.each<[string, Case, object]>([
    ["nobody says", {}, { scheduler: "rr" }],
    ["the configuration says", { options: { ipvs: { scheduler: "nq" } } }, { scheduler: "nq" }],
    ["random", { annotations: { "fairway.dev/balance": "random" }, options: { ipvs: { scheduler: "nq" } } }, { scheduler: "nq" }],
    ["least connections", { annotations: { "fairway.dev/balance": "least-connections" } }, { scheduler: "lc" }],
    ["source hash", { annotations: { "fairway.dev/balance": "source-hash" } }, { scheduler: "mh", schedulerFlags: 1 }],
    ["Maglev", { annotations: { "fairway.dev/balance": "maglev" } }, { scheduler: "mh", schedulerFlags: 3 }],
    ["weights", { annotations: { "fairway.dev/weights": "10.244.0.5=3" } }, { scheduler: "wrr" }],
    [
      "weights, least connections",
      { annotations: { "fairway.dev/weights": "10.244.0.5=3", "fairway.dev/balance": "least-connections" } },
      { scheduler: "wlc" },
    ],
    ["weights that are all the same", { annotations: { "fairway.dev/weights": "10.244.0.5=1" } }, { scheduler: "rr" }],
    ["clients are remembered", { spec: { sessionAffinity: "ClientIP" } }, { scheduler: "rr", persistenceSeconds: 10800 }],
    [
      "clients are remembered for a minute",
      { spec: { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } } },
      { scheduler: "rr", persistenceSeconds: 60 },
    ],
  ])("%s", (_, of, want) => {
    expect(servicesOf(of)).toEqual(["10.96.0.1:80", "198.51.100.1:80"].map((match) => ({ match, ...want })));
    expect(compiled(of).program.problems).toEqual([]);
  });

  test("weights are the real servers'", () => {
    const { items } = compiled({ annotations: { "fairway.dev/weights": "10.244.0.5=3" } });
    const weights = items.flatMap((item) => (item.kind === "real" ? [`${item.real.ip} ${item.real.weight}`] : []));
    expect(new Set(weights)).toEqual(new Set(["10.244.0.5 3", "10.244.1.5 1"]));
  });

  test.each<[string, Partial<Spec>, object]>([
    ["as others are", {}, { scheduler: "rr" }],
    ["by hash, where clients are remembered", { sessionAffinity: "ClientIP" }, { scheduler: "mh", schedulerFlags: 1 }],
  ])("policy Local: short-circuited senders are spread %s", (_, spec, want) => {
    const services = servicesOf({
      spec: { ...spec, type: "NodePort", externalTrafficPolicy: "Local", ports: [{ port: 80, nodePort: 30080 }] },
    });
    // one for the external address and the node port together
    expect(services.filter((s) => s.match === "fwmark")).toEqual([{ match: "fwmark", ...want }]);
  });
});

describe("what is entered", () => {
  const entriesOf = (of: Case): readonly string[] =>
    compiled(of)
      .items.flatMap((item) => (item.kind === "entry" ? [itemId(item).replace(/^entry FAIRWAY-/, "")] : []))
      .sort();
  const addresses = ["CLUSTER-IPS 10.96.0.1", "SERVICE-IPS 10.96.0.1", "SERVICE-IPS 198.51.100.1"];
  const hairpin = ["LOOP-BACK 10.244.0.5,tcp:8080,10.244.0.5"];

  test.each<[string, Case, readonly string[]]>([
    ["policy Cluster", {}, ["CLUSTER 10.96.0.1,tcp:80", "EXTERNAL 198.51.100.1,tcp:80", ...hairpin]],
    [
      "policy Local",
      { spec: { externalTrafficPolicy: "Local" } },
      ["CLUSTER 10.96.0.1,tcp:80", "LOCAL 198.51.100.1,tcp:80", "SHORT-CIRCUIT 198.51.100.1,tcp:80", ...hairpin],
    ],
    [
      "internal policy Local",
      { spec: { internalTrafficPolicy: "Local" } },
      ["CLUSTER 10.96.0.1,tcp:80", "EXTERNAL 198.51.100.1,tcp:80", ...hairpin],
    ],
    [
      "no endpoint for the port",
      { spec: { ports: [{ name: "other", port: 80 }] } },
      ["REJECT 10.96.0.1,tcp:80", "REJECT 198.51.100.1,tcp:80"],
    ],
  ])("%s", (_, of, want) => {
    expect(entriesOf(of)).toEqual([...addresses, ...want].sort());
  });

  test("source ranges are an entry for the address and one for each range", () => {
    const store = new SnapshotStore();
    fillStore(store, [
      makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]),
      makeService(
        "web",
        { type: "LoadBalancer", clusterIP: "10.96.0.1", loadBalancerSourceRanges: ["203.0.113.0/24", "192.0.2.0/25"] },
        { status: { loadBalancer: { ingress: [{ ip: "198.51.100.9" }] } } },
      ),
      makeSlice("web", ["10.244.1.5"]),
    ]);
    const { ipvs } = compileOffline(store.current, { families: [4], nodeName: "n", backend: "ipvs" });
    const ids = [...(ipvs?.held.keys() ?? [])].filter((id) => /RANGED|ALLOWED/.test(id)).sort();
    expect(ids).toEqual([
      "entry FAIRWAY-ALLOWED 198.51.100.9,tcp:80,192.0.2.0/25",
      // the node is in a range: it reaches the address from the address itself
      "entry FAIRWAY-ALLOWED 198.51.100.9,tcp:80,198.51.100.9/32",
      "entry FAIRWAY-ALLOWED 198.51.100.9,tcp:80,203.0.113.0/24",
      "entry FAIRWAY-RANGED 198.51.100.9,tcp:80",
    ]);
  });

  test("marks are ours, leave the bits of others free, and are the same at every start", () => {
    const marksOf = (): readonly number[] =>
      compiled({ spec: { externalTrafficPolicy: "Local", ports: [{ port: 80 }, { port: 80, protocol: "UDP", name: "u" }] } }).items.flatMap(
        (item) => (item.kind === "entry" && item.entry.mark !== undefined ? [item.entry.mark] : []),
      );
    expect(marksOf()).toEqual(marksOf());
    for (const mark of marksOf()) expect([isOwnFwmark(mark), mark & 0xc000]).toEqual([true, 0]);
  });
});

describe("which senders are known as pods of this node", () => {
  const verdict = (options: Partial<RuleOptions>, more: { readonly from: string; readonly interface?: string }) => {
    const { program } = compiled({ options, spec: { externalTrafficPolicy: "Local" } });
    const trace = (to: string) => program.trace({ ...more, to, port: 80, protocol: "tcp" });
    return { masquerade: trace("10.96.0.1").masquerade, endpoints: trace("198.51.100.1").endpoints.length };
  };
  const pod = { masquerade: false, endpoints: 2 };
  // the cluster IP's endpoint on this node is not among the sender's own
  const stranger = { masquerade: true, endpoints: 1 };

  test.each<[string, Partial<RuleOptions>, { readonly from: string; readonly interface?: string }, object]>([
    ["an address of this node's range", {}, { from: "10.244.0.9" }, pod],
    ["an address of another node's range", {}, { from: "10.244.1.9" }, stranger],
    [
      "any pod, where the cluster's range is told",
      { clusterCidrs: [{ ip: "10.244.0.0", bits: 16, family: 4 }] },
      { from: "10.244.1.9" },
      pod,
    ],
    ["by the bridge", { localInterface: { kind: "bridge", name: "cni0" } }, { from: "10.9.9.9", interface: "cni0" }, pod],
    ["by another link", { localInterface: { kind: "bridge", name: "cni0" } }, { from: "10.244.0.9", interface: "cni01" }, stranger],
    ["by links that begin so", { localInterface: { kind: "prefix", name: "cali" } }, { from: "10.9.9.9", interface: "cali7" }, pod],
    ["by links that do not", { localInterface: { kind: "prefix", name: "cali" } }, { from: "10.244.0.9", interface: "eth0" }, stranger],
    ["nobody", { clusterCidrs: [] }, { from: "10.244.0.9" }, { masquerade: false, endpoints: 1 }],
  ])("%s", (_, options, packet, want) => {
    expect(verdict(options, packet)).toEqual(want);
  });
});
