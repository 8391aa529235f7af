import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { command, eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl", "dig");
// By its name it has the nodes' range 172.28.38.0/24, which is not that of `npm start`: both may run at once.
const name = "e2e-two";
const dns6 = "fd00:118::a";

const service = (of: string, spec: string, app = "web"): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${of}}, spec: {selector: {app: ${app}}, ports: [{name: http, port: 80, targetPort: 8080}], ${spec}}}`;
const manifest = [
  `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: echo, image: fairway/echo, readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]}`,
  `
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  containers:
  - name: c
    image: fairway/shell
    env: [{name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}]`,
  service("both", "ipFamilyPolicy: RequireDualStack"),
  service("prefer", "ipFamilyPolicy: PreferDualStack, type: NodePort"),
  service("six", "ipFamilies: [IPv6]"),
  service("lb", "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4], type: LoadBalancer"),
  service("lb-local", "ipFamilies: [IPv6], type: LoadBalancer, externalTrafficPolicy: Local"),
  service("lb-far", "ipFamilyPolicy: RequireDualStack, type: LoadBalancer, externalTrafficPolicy: Local", "far"),
  "{apiVersion: v1, kind: Pod, metadata: {name: web-far, labels: {app: far}}, spec: {nodeName: node-2, containers: [{name: c, image: fairway/echo}]}}",
  service("members", "clusterIP: None, ipFamilyPolicy: PreferDualStack"),
  service("none", "ipFamilies: [IPv6]", "nobody"),
  `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: six}
spec: {rules: [{host: six.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: six, port: {name: http}}}}]}}]}`,
].join("\n---\n");

interface ServiceView {
  readonly spec: { readonly clusterIPs: readonly string[]; readonly ports: readonly { readonly nodePort?: number }[] };
  readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } };
}

interface Echo {
  readonly node: string;
  readonly client: string;
  readonly headers: Readonly<Record<string, string>>;
}

const is6 = (ip: string): boolean => ip.includes(":");
const url = (ip: string, port = 80): string => `http://${is6(ip) ? `[${ip}]` : ip}:${port}/`;

describe.skipIf(lack !== undefined)(`two address families${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let nodes: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  const services = new Map<string, ServiceView>();

  beforeAll(async () => {
    const ranges = ["--service-cidr", "10.118.0.0/16,fd00:118::/112", "--cluster-cidr", "10.218.0.0/16,fd00:218::/48"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    cluster = await startTestCluster({ name, args: ["--nodes", "2", ...ports, ...ranges] });
    expect(await cluster.kubectlInput(manifest, "apply", "-f", "-")).toMatchObject({ code: 0, stderr: "" });
    nodes = ((await cluster.status()) as { nodes: typeof nodes }).nodes;
    await cluster.kubectl("wait", "pod/shell", "--for=condition=Ready", "--timeout=120s");
    await cluster.kubectl("rollout", "status", "daemonset/web", "--timeout=120s");
    await eventually(async () => {
      const list = JSON.parse((await cluster.kubectl("get", "services", "-o", "json")).stdout) as {
        items: (ServiceView & { metadata: { name: string } })[];
      };
      for (const s of list.items) services.set(s.metadata.name, s);
      return ["lb", "lb-local", "lb-far"].every((n) => services.get(n)?.status.loadBalancer.ingress !== undefined) ? true : undefined;
    });
  });

  afterAll(async () => {
    if (cluster === undefined) return;
    const code = await cluster.stop();
    await cluster.fairway("down", "--name", name, "--data-dir", cluster.dataDir);
    removeDataDir(cluster);
    expect(code).toBe(0);
    const left = await command("sh", ["-c", "ip netns list; ip -o link; ip -6 route; ip route; ls /run/fairway/machines 2>/dev/null"]);
    expect(left.stdout).not.toMatch(/e2e-two|fd00:[12]18:|10\.[12]18\./);
  });

  const get = (n: string): ServiceView => {
    const found = services.get(n);
    if (found === undefined) throw new Error(`no Service ${n}`);
    return found;
  };
  const clusterIp6 = (n: string): string => get(n).spec.clusterIPs.find(is6) ?? "";
  const inShell = (...args: string[]) => cluster.kubectl("exec", "shell", "--", ...args);
  const curlArgs = (to: string, ...more: string[]): string[] => ["-gsS", "-m", "30", ...more, to];
  const places = new Map<string, (to: string) => Promise<{ stdout: string; stderr: string }>>([
    ["this machine", (to) => command("curl", curlArgs(to))],
    ["node-1", (to) => command("ip", ["netns", "exec", `fw-${name}-node-1`, "curl", ...curlArgs(to)])],
    ["node-2", (to) => command("ip", ["netns", "exec", `fw-${name}-node-2`, "curl", ...curlArgs(to)])],
    ["a pod", (to) => inShell("curl", ...curlArgs(to))],
    ["an endpoint itself", (to) => cluster.kubectl("exec", "daemonset/web", "--", "curl", ...curlArgs(to))],
  ]);
  const reach = async (targets: readonly string[]): Promise<readonly string[]> => {
    const asked = [...places].flatMap(([place, ask]) =>
      targets.map(async (to) => {
        const { stdout, stderr } = await ask(to);
        return stdout.includes('"pod":"web-') ? undefined : `${place} to ${to}: ${stdout}${stderr}`;
      }),
    );
    return (await Promise.all(asked)).filter((failure) => failure !== undefined);
  };
  const dig = async (...args: string[]): Promise<readonly string[]> => {
    const { stdout } = await command("dig", [`@${dns6}`, "+short", "+time=5", "+tries=3", ...args]);
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .sort();
  };

  test("nodes and pods have an address of each family", async () => {
    for (const node of nodes) expect(node.addresses.map(is6)).toEqual([false, true]);
    const pod = (await cluster.kubectl("get", "pod", "shell", "-o", "jsonpath={.status.podIPs[*].ip}")).stdout.split(" ");
    expect(pod.map(is6)).toEqual([false, true]);
    const inside = (await inShell("sh", "-c", "echo $IPS; cat /etc/hosts /etc/resolv.conf")).stdout;
    expect(inside).toContain(pod.join(","));
    for (const ip of pod) expect(inside).toContain(`${ip}\tshell`);
    expect(inside).toContain(`nameserver ${dns6}`);
  });

  test("Services have the families they ask for, in their order", () => {
    const families = (n: string): boolean[] => get(n).spec.clusterIPs.map(is6);
    expect(families("both")).toEqual([false, true]);
    expect(families("prefer")).toEqual([false, true]);
    expect(families("six")).toEqual([true]);
    expect(families("lb")).toEqual([true, false]);
    expect(get("members").spec.clusterIPs).toEqual(["None"]);
    expect((get("lb").status.loadBalancer.ingress ?? []).map((i) => is6(i.ip))).toEqual([true, false]);
  });

  test("ClusterIP, NodePort and LoadBalancer of both families, from everywhere", async () => {
    const port = get("prefer").spec.ports[0]?.nodePort;
    const targets = [
      ...["both", "six", "lb"].flatMap((n) => get(n).spec.clusterIPs.map((ip) => url(ip))),
      ...nodes.flatMap((n) => n.addresses.map((ip) => url(ip, port))),
      ...["lb", "lb-local"].flatMap((n) => (get(n).status.loadBalancer.ingress ?? []).map((i) => url(i.ip))),
    ];
    expect(targets).toHaveLength(12);
    // What is ready is in the rules of every node a moment later.
    await eventually(async () => {
      const failures = await reach(targets);
      if (failures.length > 0) throw new Error(failures.join("\n"));
      return true;
    });
  });

  test("with externalTrafficPolicy Local the endpoint sees the client's address", async () => {
    const ip = get("lb-local").status.loadBalancer.ingress?.[0]?.ip ?? "";
    const echo = JSON.parse((await command("curl", curlArgs(url(ip)))).stdout) as Echo;
    const bridge = (nodes[0]?.addresses[1] ?? "").replace(/[0-9a-f]+$/, "1");
    expect(echo.client.startsWith(`[${bridge}]:`)).toBe(true);
  });

  test("with externalTrafficPolicy Local this machine's traffic goes to a node that has an endpoint", async () => {
    await cluster.kubectl("wait", "pod/web-far", "--for=condition=Ready", "--timeout=120s");
    for (const { ip } of get("lb-far").status.loadBalancer.ingress ?? []) {
      const far = await eventually(async () => {
        const { code, stdout } = await command("curl", ["-gsS", "-m", "5", url(ip)]);
        return code === 0 ? (JSON.parse(stdout) as Echo) : undefined;
      });
      expect(far.node).toBe("node-2");
    }
    const routed = (await command("sh", ["-c", "ip route; ip -6 route"])).stdout;
    const ips = (get("lb-far").status.loadBalancer.ingress ?? []).map((i) => i.ip);
    for (const [i, ip] of ips.entries()) expect(routed).toContain(`${ip} via ${nodes[1]?.addresses[i]} `);
    await cluster.kubectl("delete", "service", "lb-far");
    await eventually(async () => {
      const left = (await command("sh", ["-c", "ip route; ip -6 route"])).stdout;
      return ips.every((ip) => !left.includes(`${ip} via`)) ? true : undefined;
    });
  });

  test("a Service without endpoints refuses at once over IPv6", async () => {
    const { code, stderr } = await inShell("curl", ...curlArgs(url(clusterIp6("none"))));
    expect(stderr).toMatch(/refused|unreachable|Failed to connect|Couldn't connect/i);
    // Told by the kernel; 28 would be curl's own time limit.
    expect(code).toBe(7);
  });

  test("names: AAAA, no A where there is none, SRV, PTR, headless", async () => {
    const zone = "default.svc.cluster.local";
    expect(await dig("AAAA", `both.${zone}`)).toEqual([clusterIp6("both")]);
    expect(await dig("A", `six.${zone}`)).toEqual([]);
    expect(await dig("-x", clusterIp6("six"))).toEqual([`six.${zone}.`]);
    const pods = (await cluster.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIPs[1].ip}")).stdout;
    expect(await dig("AAAA", `members.${zone}`)).toEqual(pods.split(" ").sort());
    expect(await dig("SRV", `_http._tcp.members.${zone}`)).toHaveLength(4);
    const found = await inShell("getent", "ahosts", "six");
    expect(found.stdout).toContain(clusterIp6("six"));
    expect((await inShell("curl", "-6", ...curlArgs("http://both/"))).stdout).toContain('"pod":"web-');
  });

  test("the ingress on every node's IPv6 address", async () => {
    const asked = nodes.map(({ addresses: [, ip = ""] }) => command("curl", curlArgs("http://six.test/", "--connect-to", `::[${ip}]:80`)));
    for (const { stdout } of await Promise.all(asked)) expect(is6((JSON.parse(stdout) as Echo).headers["x-real-ip"] ?? "")).toBe(true);
    const told = await eventually(async () => {
      const { stdout } = await cluster.kubectl("get", "ingress", "six", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}");
      return stdout === "" ? undefined : stdout.split(" ");
    });
    expect(told).toEqual([0, 1].flatMap((family) => nodes.map((n) => n.addresses[family])));
  });

  test("questions answer for IPv6 as the cluster does", async () => {
    const to = `[${clusterIp6("six")}]:80`;
    const trace = JSON.parse(
      (await cluster.fairway("trace", "--node", "node-1", "--from", "default/shell", "--to", to, "-o", "json")).stdout,
    );
    const pods = (await cluster.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIPs[1].ip}")).stdout;
    const endpoints = pods.split(" ").map((ip) => `[${ip}]:8080`);
    expect(trace).toMatchObject({ verdict: "deliver", service: "default/six:http", masquerade: false });
    expect([...(trace as { endpoints: string[] }).endpoints].sort()).toEqual(endpoints.sort());
    const resolved = JSON.parse((await cluster.fairway("resolve", "six.default.svc.cluster.local", "AAAA", "-o", "json")).stdout);
    expect(resolved).toMatchObject({ answers: [{ type: "AAAA", data: clusterIp6("six") }] });
  });
});
