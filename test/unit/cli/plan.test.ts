import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { register } from "../../../src/cli/commands/plan.ts";
import { StandIns } from "../../../src/cli/plan/stand-ins.ts";
import type { Plan } from "../../../src/cli/printers/plan.ts";
import { runCli } from "../../../src/cli/program.ts";

const pod = (name: string, app: string, ip: string, node: string): string =>
  `- {apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, uid: ${name}, labels: {app: ${app}}}, spec: {nodeName: ${node}, containers: [{name: c, image: i, ports: [{name: web, containerPort: 8080}]}]}, status: {phase: Running, podIP: ${ip}, podIPs: [{ip: ${ip}}], conditions: [{type: Ready, status: "True"}]}}`;
const slice = (service: string, endpoints: readonly (readonly [name: string, ip: string, node: string])[]): string =>
  `- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: ${service}-1, namespace: shop, labels: {kubernetes.io/service-name: ${service}, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}, addressType: IPv4, ports: [{name: http, port: 8080, protocol: TCP}], endpoints: [${endpoints
    .map(
      ([name, ip, node]) =>
        `{addresses: [${ip}], nodeName: ${node}, conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: ${name}, uid: ${name}}}`,
    )
    .join(", ")}]}`;
const fixed = `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.0.0/24]}, status: {addresses: [{type: InternalIP, address: 172.28.0.2}]}}
- {apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.244.1.0/24]}, status: {addresses: [{type: InternalIP, address: 172.28.0.3}]}}
- {apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: kubernetes}, spec: {cidrs: [10.96.0.0/16]}}
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: fairway, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}, spec: {controller: fairway/ingress}}
- {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: shop, namespace: shop}, spec: {rules: [{host: shop.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {type: NodePort, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], selector: {app: web}, ports: [{name: http, port: 80, targetPort: web, nodePort: 30080}]}}
- {apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], selector: {app: api}, ports: [{name: http, port: 80, targetPort: web}]}}
${slice("web", [
  ["web-a", "10.244.0.5", "n1"],
  ["web-b", "10.244.1.5", "n2"],
])}
${slice("api", [["api-a", "10.244.0.6", "n1"]])}
`;
const pods = `${pod("web-a", "web", "10.244.0.5", "n1")}
${pod("web-b", "web", "10.244.1.5", "n2")}
${pod("api-a", "api", "10.244.0.6", "n1")}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i, ports: [{name: web, containerPort: 8080}]}]}}}}
`;
const deployment = (replicas: number, image: string): string =>
  `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: ${replicas}, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: ${image}, ports: [{name: web, containerPort: 8080}]}]}}}}`;
const web = (spec: string): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {type: NodePort, ports: [{name: http, port: 80, targetPort: web, nodePort: 30080}], ${spec}}}`;

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-plan-"));
  writeFileSync(join(dir, "all.yaml"), `${fixed}${pods}`);
  writeFileSync(join(dir, "no-pods.yaml"), fixed);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function run(args: readonly string[]): Promise<{ readonly status: number; readonly out: string; readonly err: string }> {
  let [out, err] = ["", ""];
  const entries = [{ group: "", names: ["plan"], load: () => Promise.resolve({ register }) }];
  const status = await runCli(["plan", ...args], entries, { stdout: (t) => void (out += t), stderr: (t) => void (err += t) });
  return { status, out, err };
}

/** The plan of applying `change`; `more` are further arguments. */
async function planOf(change: string | undefined, more: readonly string[] = [], objects = "all.yaml"): Promise<Plan> {
  const file = join(dir, "change.yaml");
  if (change !== undefined) writeFileSync(file, change);
  const args = ["--objects", join(dir, objects), ...(change === undefined ? [] : ["--change", file]), ...more, "-o", "json"];
  const { status, out, err } = await run(args);
  expect([status, err]).toEqual([0, ""]);
  return JSON.parse(out) as Plan;
}
const brief = (p: Plan): readonly string[] =>
  p.rules.map(
    (r) =>
      `${r.nodes.join()} ${r.change} ${r.frontend} ${r.fate ?? "gone"}${r.gained.map((e) => ` +${e}`).join("")}${r.lost.map((e) => ` -${e}`).join("")}`,
  );

test("what is so already changes nothing", async () => {
  const plan = await planOf(web("selector: {app: web}"));
  expect(plan).toEqual({
    objects: [{ object: "Service shop/web", change: "unchanged", fields: [] }],
    refusals: [],
    rules: [],
    flows: [],
    names: [],
    routes: [],
    problems: { gained: [], lost: [] },
    breaks: [],
    withoutEndpoints: [],
    remarks: [],
  });
});

test("a selector that selects others: the slices follow the Pods, the Ingress too", async () => {
  const plan = await planOf(web("selector: {app: api}"));
  const change = " changed";
  expect(brief(plan)).toEqual([
    `n1,n2${change} 10.96.0.9:80/tcp balance +10.244.0.6:8080 -10.244.0.5:8080 -10.244.1.5:8080`,
    `n1,n2${change} nodePort4:30080/tcp balance +10.244.0.6:8080 -10.244.0.5:8080 -10.244.1.5:8080`,
  ]);
  expect(plan.routes).toMatchObject([
    { rule: "shop.test/", object: "Ingress shop/shop", after: ["forwards to shop/web:80 (10.244.0.6:8080)"] },
  ]);
  expect(plan.flows.find((f) => f.from === "pod" && f.to === "10.96.0.9:80/tcp")).toMatchObject({
    before: { verdict: "deliver", endpoints: ["10.244.0.5:8080", "10.244.1.5:8080"], masquerade: false },
    after: { verdict: "deliver", endpoints: ["10.244.0.6:8080"], masquerade: false },
  });
});

test("a selector that selects nobody: who is left without an endpoint is named, connections are rejected", async () => {
  const plan = await planOf(web("selector: {app: nobody}"));
  expect(plan.withoutEndpoints).toEqual(["shop/web:http"]);
  expect(plan.rules.map((r) => r.fate)).toEqual(["reject", "reject"]);
  expect(plan.flows.map((f) => f.after.verdict)).toEqual(plan.flows.map(() => "reject"));
  expect(plan.routes[0]?.after).toEqual(["forwards to shop/web:80 (no endpoint, answers 503)"]);
  expect(plan.flows.map((f) => f.change)).toEqual(plan.flows.map(() => "lost"));
});

describe("what would break", () => {
  const told = (plan: Plan): readonly string[] =>
    plan.breaks.map((b) => `${b.what}: ${b.why}${b.nodes.length === 1 ? ` on ${b.nodes[0]}` : ""}`);
  test.each<{ readonly name: string; readonly change?: string; readonly more?: readonly string[]; readonly want: readonly string[] }>([
    {
      name: "no endpoint",
      change: web("selector: {app: nobody}"),
      want: [
        "10.96.0.9:80/tcp of shop/web:http: rejected, from everywhere",
        "nodePort4:30080/tcp of shop/web:http: rejected, from everywhere",
        "shop.test/ of Ingress shop/shop: answers 503",
      ],
    },
    { name: "other endpoints", change: web("selector: {app: api}"), want: [] },
    {
      name: "one node has none of its own",
      change: web("selector: {app: api}, externalTrafficPolicy: Local"),
      want: ["nodePort4:30080/tcp of shop/web:http: dropped, from outside on n2"],
    },
    {
      name: "a Service goes, with its names and what forwards to it",
      more: ["--delete", "Service/shop/web"],
      want: [
        "10.96.0.9:80/tcp of shop/web:http: dropped, from everywhere",
        "nodePort4:30080/tcp of shop/web:http: no Service takes it, from everywhere",
        "shop.test/ of Ingress shop/shop: answers 503",
        "_http._tcp.web.shop.svc.cluster.local.: is no more",
        "web.shop.svc.cluster.local.: is no more",
      ],
    },
    {
      name: "a path goes",
      more: ["--delete", "Ingress/shop/shop"],
      want: ["shop.test/ of Ingress shop/shop: no longer routed"],
    },
  ])("$name", async ({ change, more, want }) => {
    expect(told(await planOf(change, more))).toEqual(want);
  });

  test("a path that forwards to a Service which goes says so, not that a port is missing", async () => {
    const { routes } = await planOf(undefined, ["--delete", "Service/shop/web"]);
    expect(routes.flatMap((r) => r.after)).toEqual(["forwards to shop/web:80: no such Service, answers 503"]);
  });
});

test("objects that no connection depends on are passed over, and that is said; what others wrote is no change", async () => {
  const budget = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: shop}, spec: {minAvailable: 1}}";
  const plan = await planOf(`${budget}\n---\n${web("selector: {app: web}").replace("name: web,", "name: web, annotations: {},")}`);
  expect(plan.objects).toEqual([{ object: "Service shop/web", change: "unchanged", fields: [] }]);
  expect(plan.remarks).toEqual(["no connection, name or route depends on PodDisruptionBudget shop/web: not looked at"]);
});

test("without Pods a selector changes no slices, and that is said", async () => {
  const plan = await planOf(web("selector: {app: api}"), [], "no-pods.yaml");
  expect(plan.rules).toEqual([]);
  expect(plan.remarks).toEqual([expect.stringContaining("Service shop/web: its EndpointSlices are taken as they are")]);
});

test.each<{ readonly name: string; readonly spec: string; readonly want: readonly string[] }>([
  { name: "affinity", spec: "selector: {app: web}, sessionAffinity: ClientIP", want: ["affinity none → 10800 s"] },
  {
    name: "external policy",
    spec: "selector: {app: web}, externalTrafficPolicy: Local",
    want: ["masquerade always → never", "verdict balance → local"],
  },
])("a setting: $name", async ({ spec, want }) => {
  const plan = await planOf(web(spec));
  const settings = plan.rules.flatMap((r) => r.settings.map((s) => `${s.setting} ${s.before} → ${s.after}`));
  expect([...new Set(settings)].sort()).toEqual(want);
});

test("what differs between nodes is told for each", async () => {
  const plan = await planOf(web("selector: {app: web}, internalTrafficPolicy: Local"));
  expect(brief(plan)).toEqual([
    "n1 changed 10.96.0.9:80/tcp balance -10.244.1.5:8080",
    "n2 changed 10.96.0.9:80/tcp balance -10.244.0.5:8080",
  ]);
  expect((await planOf(web("selector: {app: web}, internalTrafficPolicy: Local"), ["--node", "n2"])).rules.map((r) => r.nodes)).toEqual([
    ["n2"],
  ]);
});

describe("deletions", () => {
  test.each(["Service/shop/web", "service/shop/web", "services/shop/web"])("%s", async (what) => {
    const plan = await planOf(undefined, ["--delete", what]);
    expect(plan.objects.map((o) => `${o.object} ${o.change}`)).toEqual(["Service shop/web deleted", "EndpointSlice shop/web-1 deleted"]);
    expect(brief(plan).map((l) => l.split(" ").slice(0, 4).join(" "))).toEqual([
      "n1,n2 removed 10.96.0.9:80/tcp gone",
      "n1,n2 removed nodePort4:30080/tcp gone",
    ]);
    expect(plan.names.find((n) => n.name === "web.shop.svc.cluster.local.")).toMatchObject({
      change: "removed",
      lost: expect.arrayContaining(["A 10.96.0.9"]) as unknown,
    });
    expect(plan.problems.gained.map((p) => p.reason)).toContain("ServiceNotFound");
  });

  test("a namespace takes all that is in it", async () => {
    const plan = await planOf(undefined, ["--delete", "Namespace/shop"]);
    expect(plan.rules.every((r) => r.change === "removed")).toBe(true);
    expect(plan.rules).toHaveLength(3);
    expect([...new Set(plan.routes.map((r) => r.change))]).toEqual(["removed"]);
  });

  test("what is not there is a remark", async () => {
    expect((await planOf(undefined, ["--delete", "Service/shop/nope"])).remarks).toEqual([
      "Service shop/nope: there is none to be deleted",
    ]);
  });
});

describe("workloads, once they are rolled out", () => {
  test.each([
    { name: "more replicas", change: deployment(3, "i"), gained: ["<shop/web-new-3>:8080"], lost: [] },
    { name: "fewer replicas", change: deployment(1, "i"), gained: [], lost: ["10.244.1.5:8080"] },
    { name: "none", change: deployment(0, "i"), gained: [], lost: ["10.244.0.5:8080", "10.244.1.5:8080"] },
    {
      name: "a new template",
      change: deployment(2, "j"),
      gained: ["<shop/web-new-1>:8080", "<shop/web-new-2>:8080"],
      lost: ["10.244.0.5:8080", "10.244.1.5:8080"],
    },
  ])("$name", async ({ change, gained, lost }) => {
    const plan = await planOf(change);
    expect(plan.rules).toHaveLength(2);
    for (const rule of plan.rules) expect([rule.gained, rule.lost]).toEqual([gained, lost]);
    expect(plan.remarks.length).toBeGreaterThan(0);
  });
});

test("a new Service: its address has a name; what it claims of an older one is a problem that names it", async () => {
  const plan = await planOf(
    "{apiVersion: v1, kind: Service, metadata: {name: fresh, namespace: shop}, spec: {type: NodePort, selector: {app: api}, ports: [{name: http, port: 80, targetPort: web, nodePort: 30080}]}}",
  );
  expect(brief(plan)).toEqual(["n1,n2 added <cluster IP of shop/fresh>:80/tcp balance +10.244.0.6:8080"]);
  expect(plan.problems.gained).toMatchObject([
    { reason: "PortConflict", object: { name: "fresh" }, message: expect.stringContaining("Service shop/web") as unknown },
  ]);
  const told = JSON.stringify(plan);
  expect(told).not.toMatch(/198[.-]18|18\.198/);
  expect(plan.names.map((n) => n.name)).toContain("<cluster IP of shop/fresh>.in-addr.arpa.");
});

test("what the API server would refuse is said, and stays as it is", async () => {
  const plan = await planOf(web("selector: {app: api}, clusterIP: 10.96.0.77"));
  expect(plan.objects).toMatchObject([{ change: "refused" }]);
  expect(plan.refusals[0]).toMatch(/^Service shop\/web: spec\.clusterIPs?/);
  expect(plan.rules).toEqual([]);
});

test("a KubeProxyConfiguration says whose rules they are, and how", async () => {
  const config = join(dir, "config.yaml");
  const flowsBy = async (text: string) => {
    writeFileSync(config, `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n${text}\n`);
    return (await planOf(web("selector: {app: api}"), ["--config", config, "--node", "n1"])).flows;
  };
  const iptables = await flowsBy("mode: iptables");
  expect(new Set(iptables.map((f) => f.backend))).toEqual(new Set(["iptables"]));
  const nowhere = await flowsBy("mode: nftables\nnodePortAddresses: [192.0.2.0/24]");
  const toNodePort = (flows: typeof iptables): number => flows.filter((f) => f.to.includes(":30080")).length;
  expect(toNodePort(iptables)).toBeGreaterThan(0);
  expect(toNodePort(nowhere)).toBe(0);
});

test("connections are the same by every backend's own rules, but for what userspace always does", async () => {
  const { flows } = await planOf(web("selector: {app: api}"), ["--backend", "all", "--node", "n1"]);
  const of = (backend: string): readonly string[] =>
    flows
      .filter((f) => f.backend === backend && f.to === "10.96.0.9:80/tcp")
      .map(({ from, before, after }) => JSON.stringify([from, before, after]));
  const backends = new Set(flows.map((f) => f.backend));
  expect(of("nftables")).toHaveLength(3);
  for (const backend of backends) if (backend !== "userspace") expect([backend, of(backend)]).toEqual([backend, of("nftables")]);
  expect(backends.size).toBeGreaterThan(2);
});

test("for people: what changes, under its headline; --fail says that something does", async () => {
  writeFileSync(join(dir, "change.yaml"), web("selector: {app: nobody}"));
  const args = ["--objects", join(dir, "all.yaml"), "--change", join(dir, "change.yaml"), "--node", "n1"];
  const { status, out } = await run([...args, "--fail"]);
  expect(status).toBe(1);
  expect(out).toContain("Objects\n  ~ Service shop/web: spec.selector\n");
  expect(out).toContain("  ~ 10.96.0.9:80/tcp  shop/web:http  −10.244.0.5:8080 −10.244.1.5:8080; rejected: no endpoint\n");
  expect(out).toContain("  − everywhere → 10.96.0.9:80/tcp: one of 2 of shop/web:http → rejected\n");
  expect(out).toMatch(
    /\nWould break\n {2}! 10\.96\.0\.9:80\/tcp of shop\/web:http: rejected, from everywhere\n {2}! nodePort4:30080.*\n {2}! shop\.test\/ of .*\n$/,
  );
  expect(out).toMatch(/… and \d+ names of endpoints and addresses/);
  writeFileSync(join(dir, "change.yaml"), web("selector: {app: web}"));
  const same = await run([...args, "--fail"]);
  expect([same.status, same.out]).toEqual([
    0,
    "Objects\n    Service shop/web: is so already\n\nNo connection, name or route would change.\n",
  ]);
});

test("for people: senders who fare differently are told apart, those who fare the same together", async () => {
  writeFileSync(join(dir, "change.yaml"), web("selector: {app: web}, externalTrafficPolicy: Local"));
  const { out } = await run(["--objects", join(dir, "all.yaml"), "--change", join(dir, "change.yaml"), "--node", "n1"]);
  const told = out.split("\n").filter((l) => l.includes("→ nodePort4:30080/tcp"));
  expect(told).toEqual([
    "  ~ Pods of the node → nodePort4:30080/tcp: one of 2 of shop/web:http, as the node → one of 2 of shop/web:http, as itself",
    "  ~ outside → nodePort4:30080/tcp: one of 2 of shop/web:http, as the node → 10.244.0.5:8080 of shop/web:http, as itself",
  ]);
  expect(out).toMatch(/\nNothing would break: what is reached now is reached then\.\n$/);
});

test.each([
  { name: "no change", args: [], err: "--change FILE or --delete KIND/NAME" },
  { name: "a file that is not there", args: ["--change", "/nope.yaml"], err: "--change /nope.yaml: no such file" },
  { name: "no kind", args: ["--delete", "Gadget/x"], err: "KIND/NAME" },
  { name: "a node in a namespace", args: ["--delete", "Node/shop/n1"], err: "in no namespace" },
  { name: "an unknown node", args: ["--delete", "Service/shop/web", "--node", "n9"], err: "no such Node" },
  { name: "an unknown backend", args: ["--delete", "Service/shop/web", "--backend", "nope"], err: "--backend nope" },
])("wrong usage: $name", async ({ args, err }) => {
  const answer = await run(["--objects", join(dir, "all.yaml"), ...args]);
  expect([answer.status, answer.out]).toEqual([2, ""]);
  expect(answer.err).toContain(err);
});

test("stand-ins are told by name, wherever they stand", () => {
  const s = new StandIns();
  const ips = Array.from({ length: 12 }, (_, i) => s.address("IPv4", `p${i + 1}`));
  const six = s.address("IPv6", "six");
  expect(s.told(`${ips[0]}:80 ${ips[11]}:80 [${six}]:80`)).toBe("<p1>:80 <p12>:80 <six>:80");
  expect(s.told("198-18-0-12.web.shop.svc 12.0.18.198.in-addr.arpa.")).toBe("<p12>.web.shop.svc <p12>.in-addr.arpa.");
  expect(s.toldIn({ a: [ips[0]], b: 1 })).toEqual({ a: ["<p1>"], b: 1 });
  expect(s.told("10.96.0.1:80")).toBe("10.96.0.1:80");
});
