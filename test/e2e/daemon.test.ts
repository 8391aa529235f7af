import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensurePki, printKubeconfig } from "../../src/apiserver/pki.ts";
import { makeCertificate } from "../../src/apiserver/x509.ts";
import { removeNodePods } from "../../src/node/cleanup.ts";
import { type CommandResult, eventually, fairwayBinary } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";
import { kubeconfigText, openRoleLab, type RoleLab, type RoleProcess } from "../support/role-lab.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl", "dig", "nsenter", "setpriv");
const ip = "172.30.115.1";
const port = 7400;
const server = `https://${ip}:${port}`;
const hour = 3_600_000;

function sliceOf(service: string): string {
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${service}-1, labels: {kubernetes.io/service-name: ${service}}}
addressType: IPv4
ports: [{name: http, port: 7402, protocol: TCP}]
endpoints: [{addresses: [${ip}], conditions: {ready: true}}]`;
}

/** Two Services without a selector, whose EndpointSlices are written by hand, an Ingress to one, and where DNS answers. */
const objects = `
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.116.0.10, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: v1
kind: Service
metadata: {name: hand}
spec: {clusterIP: 10.116.0.50, externalIPs: [10.115.0.7], ports: [{name: http, port: 80, targetPort: 7402}]}
---
${sliceOf("hand")}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: fairway}
spec: {controller: fairway/ingress}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: hand}
spec:
  ingressClassName: fairway
  rules: [{host: hand.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: hand, port: {name: http}}}}]}}]
`;
const echo = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 1
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec: {containers: [{name: echo, image: fairway/echo, readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {selector: {app: echo}, clusterIP: 10.116.0.60, ports: [{port: 80, targetPort: 8080}]}
`;

/** Wants the external address that Service `hand` has already. */
const rival = `
apiVersion: v1
kind: Service
metadata: {name: rival}
spec: {clusterIP: 10.116.0.51, externalIPs: [10.115.0.7], ports: [{name: http, port: 80, targetPort: 7402}]}
---
${sliceOf("rival")}`;
const later = `
apiVersion: v1
kind: Service
metadata: {name: later}
spec: {clusterIP: 10.116.0.52, ports: [{name: http, port: 80, targetPort: 7402}]}
---
${sliceOf("later")}`;

/** Two requests on one connection, the second when a file is there; of each the client's port, Connection and body. */
const twoRequests = `
const [ip, out, go] = process.argv.slice(1);
const { get, Agent } = require("node:http");
const fs = require("node:fs");
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const ask = () => new Promise((resolve, reject) => get({ host: ip, agent, headers: { host: "hand.test" } }, (response) => {
  const { localPort } = response.socket;
  let body = "";
  response.on("data", (d) => (body += d)).on("end", () => {
    fs.appendFileSync(out, [localPort, response.headers.connection ?? "open", body].join(" ") + "\\n");
    resolve();
  });
}).on("error", reject));
(async () => {
  await ask();
  while (!fs.existsSync(go)) await new Promise((r) => setTimeout(r, 20));
  await ask();
  agent.destroy();
})();`;

/** One request over TLS, with the session of the one before, if there is one in the file; says whether that was resumed. */
const requestOfSession = `
const [ip, file] = process.argv.slice(1);
const fs = require("node:fs");
const session = fs.existsSync(file) ? fs.readFileSync(file) : undefined;
const socket = require("node:tls").connect({ host: ip, port: 443, servername: "hand.test", rejectUnauthorized: false, session });
socket.on("session", (s) => fs.writeFileSync(file, s));
socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\\r\\nHost: hand.test\\r\\nConnection: close\\r\\n\\r\\n"));
socket.on("end", () => console.log(socket.isSessionReused() ? "resumed" : "new"));
socket.resume();`;

describe.skipIf(lack !== undefined)(`each role a process of its own${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let lab: RoleLab;
  let api: RoleProcess;
  let daemon: RoleProcess;
  const roles: Record<string, RoleProcess> = {};
  let config: Record<"admin" | "token" | "certificate" | "plugin", string>;

  const startApi = (tokens: string): RoleProcess =>
    lab.start(
      ...["apiserver", "--data-dir", join(lab.folder, "api"), "--bind-address", ip, "--secure-port", String(port)],
      ...["--service-cluster-ip-range", "10.116.0.0/16", "--token-auth-file", tokens],
      ...["--client-ca-file", join(lab.folder, "clients.crt")],
    );
  const startDaemon = (): RoleProcess =>
    lab.start(
      ...["daemon", "--kubeconfig", config.plugin, "--node-name", "edge", "--run-dir", join(lab.folder, "run")],
      ...["--service-cidr", "10.116.0.0/16", "--cluster-cidr", "10.216.0.0/16", "--metrics-port", "7449", "--publish", ip],
      ...["--ingress-processes", "1", "--ready-file", join(lab.folder, "ready")],
    );
  const startRole = (name: string): RoleProcess => {
    if (name === "controllers") return lab.start(name, "--kubeconfig", config.token, "--cluster-cidr", "10.216.0.0/16");
    if (name === "scheduler") return lab.start(name, "--kubeconfig", config.certificate);
    return lab.start(
      ...["node", "--kubeconfig", config.admin, "--node-name", "edge", "--node-ip", ip, "--data-dir", join(lab.folder, "node")],
      ...["--tls-cert-file", join(lab.folder, "node.crt"), "--tls-private-key-file", join(lab.folder, "node.key")],
      ...["--client-ca-file", join(lab.folder, "api/pki/ca.crt"), "--cluster-dns", "10.116.0.10", "--node-api-port", "7450"],
      ...["--agent-port", "7449"],
    );
  };
  const kubectl = (...args: readonly string[]): Promise<CommandResult> => lab.run("kubectl", "--kubeconfig", config.admin, ...args);
  const apply = async (name: string, text: string): Promise<void> => {
    const done = await kubectl("apply", "-f", lab.file(name, text));
    expect(`${done.code} ${done.stderr}`).toBe("0 ");
  };
  const body = async (...args: readonly string[]): Promise<string> => (await lab.run("curl", "-s", "-m", "15", ...args)).stdout;
  const observed = (path: string): Promise<string> => body(`http://127.0.0.1:7449${path}`);
  const answers = (name: string): Promise<string> =>
    lab.run("dig", "+short", "+time=5", "+tries=2", "@10.116.0.10", name).then((r) => r.stdout.trim());
  /** All ways to the hand-written Service: cluster IP, name, Ingress. */
  const everyWay = async (): Promise<readonly string[]> =>
    Promise.all([body("http://10.116.0.50/"), answers("hand.default.svc.cluster.local"), body("-H", "Host: hand.test", `http://${ip}/`)]);
  const served = ["by hand", "10.116.0.50", "by hand"];
  const serves = (what: string): Promise<unknown> =>
    eventually(async () => (await everyWay()).join() === served.join() || undefined, { what: `${what}: all ways served` });

  beforeAll(async () => {
    lab = await openRoleLab("e2e-roles", ip);
    const validity = { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + 24 * hour) };
    const ca = await makeCertificate({ commonName: "people", usage: "ca", ...validity });
    lab.file("clients.crt", ca.certPem);
    const scheduler = await makeCertificate({
      commonName: "system:kube-scheduler",
      usage: "client",
      issuer: ca,
      ...validity,
    });
    const pki = await ensurePki(join(lab.folder, "api"), { dnsNames: [], ips: [ip, "10.116.0.1"] });
    const node = await pki.issueServerCert("system:node:edge", [ip]);
    lab.file("node.crt", node.certPem);
    lab.file("node.key", node.keyPem);
    lab.file("tokens-1.csv", 'first,fairway:daemon,1,"fairway:components"\nstays,system:kube-controller-manager,2\n');
    lab.file("tokens-2.csv", 'second,fairway:daemon,1,"fairway:components"\nstays,system:kube-controller-manager,2\n');
    const credential = (token: string): string =>
      JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token } });
    lab.file("credential", credential("first"));
    lab.file("credential-2", credential("second"));
    const write = (name: string, user: object): string => lab.file(name, kubeconfigText(server, pki.caPem, user));
    config = {
      admin: lab.file(
        "admin",
        printKubeconfig({ server, caPem: pki.caPem, contextName: "lab", ...(await pki.issueClientCert("admin", ["system:masters"])) }),
      ),
      token: write("token", { token: "stays" }),
      certificate: write("certificate", {
        "client-certificate-data": Buffer.from(scheduler.certPem).toString("base64"),
        "client-key-data": Buffer.from(scheduler.keyPem).toString("base64"),
      }),
      plugin: write("plugin", {
        exec: {
          apiVersion: "client.authentication.k8s.io/v1",
          interactiveMode: "Never",
          command: "cat",
          args: [join(lab.folder, "credential")],
        },
      }),
    };
    lab.serveText(7402, "by hand");
    api = startApi(join(lab.folder, "tokens-1.csv"));
    await eventually(async () => (await kubectl("get", "--raw", "/readyz")).stdout === "ok" || undefined, { what: "API server ready" });
    for (const name of ["controllers", "scheduler", "node"]) roles[name] = startRole(name);
    daemon = startDaemon();
    await eventually(async () => (await observed("/readyz?verbose")).includes("no Service kube-system/kube-dns") || undefined, {
      what: "the daemon says what it lacks",
    });
    await apply("objects.yaml", objects);
  });
  afterAll(async () => {
    await roles["node"]?.end();
    await removeNodePods(join(lab.folder, "node"));
    await lab.close();
  });

  test("a Service, its name and its Ingress, from slices written by hand; the API itself by its Service", async () => {
    await serves("at first");
    expect(await body("-k", "https://10.116.0.1/version")).toContain('"gitVersion"');
    await eventually(
      async () =>
        (await kubectl("get", "ingress", "hand", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")).stdout === ip || undefined,
      { what: "the Ingress's address" },
    );
  });

  test("a Deployment runs by controllers, scheduler and node", async () => {
    await apply("echo.yaml", echo);
    await eventually(async () => (await body("http://10.116.0.60/")).includes('"node":"edge"') || undefined, { what: "the pod answers" });
    expect((await kubectl("exec", "deploy/echo", "--", "sh", "-c", "echo here")).stdout).toBe("here\n");
  });

  test("kill -9 of controllers, scheduler and node: the next ones go on, with the same pod", async () => {
    const pod = await body("http://10.116.0.60/");
    for (const [name, role] of Object.entries(roles)) {
      await role.end("SIGKILL");
      roles[name] = startRole(name);
    }
    expect(await body("http://10.116.0.60/")).toContain((JSON.parse(pod) as { pod: string }).pod);
    await kubectl("scale", "deployment/echo", "--replicas", "2");
    const ready = await kubectl("rollout", "status", "deployment/echo", "--timeout", "120s");
    expect(ready).toMatchObject({ code: 0 });
    const pods = await kubectl("get", "pods", "-l", "app=echo", "-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}");
    expect(pods.stdout).toBe("0 0");
  });

  test("health and metrics of all its processes answer at one address", async () => {
    for (const path of ["/healthz", "/livez", "/readyz"]) expect(await observed(path)).toBe("ok");
    const metrics = await observed("/metrics");
    for (const name of [
      "kubeproxy_sync_proxy_rules_duration_seconds_count",
      "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
      "coredns_dns_requests_total",
      "coredns_dns_request_duration_seconds_count",
      "nginx_ingress_controller_requests",
    ])
      expect(metrics).toMatch(new RegExp(`^${name}(\\{.*\\})? [1-9]`, "m"));
  });

  test("kube-proxy's own: /proxyMode and /configz beside the metrics, /healthz and /livez at its health address", async () => {
    expect(await observed("/proxyMode")).toBe("nftables");
    const { "kubeproxy.config.k8s.io": config } = JSON.parse(await observed("/configz")) as Record<string, Record<string, unknown>>;
    expect(config).toMatchObject({ kind: "KubeProxyConfiguration", healthzBindAddress: "0.0.0.0:10256" });
    const healthz = JSON.parse(await body(`http://${ip}:10256/healthz`)) as Record<string, unknown>;
    expect(healthz).toMatchObject({ nodeEligible: true, healthy: true });
    expect(JSON.parse(await body(`http://${ip}:10256/livez`))).toMatchObject({ healthy: true });
    expect(await observed("/metrics")).toMatch(/^kubeproxy_proxy_healthz_total\{code="200"\} [1-9]/m);
  });

  test("two Services over one external address: the second is left out and told, in an Event and in /problems", async () => {
    await apply("rival.yaml", rival);
    const problem = await eventually(async () => (JSON.parse(await observed("/problems")) as { object: { name: string } }[])[0], {
      what: "a problem",
    });
    expect(problem).toMatchObject({ object: { kind: "Service", namespace: "default", name: "rival" } });
    await eventually(async () => (await kubectl("events", "--for", "service/rival")).stdout.includes("default/hand") || undefined, {
      what: "an Event that names the other",
    });
    const status = await lab.fairway("status", "--kubeconfig", config.admin);
    expect(status.stdout).toContain("Service default/rival: spec.externalIPs");
    expect(await body("http://10.116.0.51/")).toBe("by hand");
    expect(await body("http://10.115.0.7/")).toBe("by hand");
    await kubectl("delete", "service", "rival");
  });

  test("a port of a Service that another program has: an Event on the ConfigMap names the key and the program", async () => {
    const text = `apiVersion: v1
kind: ConfigMap
metadata: {name: tcp-services, namespace: ingress-nginx}
data: {"7402": "default/hand:80", "7403": "default/hand:80"}`;
    expect(await kubectl("create", "namespace", "ingress-nginx")).toMatchObject({ code: 0 });
    await apply("tcp-services.yaml", text);
    await eventually(async () => (await body(`http://${ip}:7403/`)) === "by hand" || undefined, { what: "the other port is served" });
    const told = await eventually(
      async () => {
        const { stdout } = await kubectl("events", "-n", "ingress-nginx", "--for", "configmap/tcp-services");
        return stdout.includes("PortUnavailable") ? stdout : undefined;
      },
      { what: "an Event" },
    );
    expect(told).toMatch(
      /data\[7402\]: node edge does not serve TCP port 7402: cannot bind .*EADDRINUSE.*process \d+ has it: .*createServer/,
    );
    expect(await observed("/problems")).toContain("PortUnavailable");
    await kubectl("delete", "namespace", "ingress-nginx", "--wait=false");
    await eventually(async () => (await observed("/problems")) === "[]" || undefined, { what: "no problem is left" });
  });

  test("a kubeconfig that cannot be used is refused with file, context and field", async () => {
    const bad = lab.file("bad", readFileSync(config.token, "utf8").replace('"user":"lab"}', '"user":"nobody"}'));
    for (const role of [["daemon"], ["proxy"], ["controllers"], ["scheduler"]]) {
      const refused = await lab.fairway(...role, "--kubeconfig", bad);
      expect(refused).toEqual({
        code: 2,
        stdout: "",
        stderr: `fairway: kubeconfig ${bad}, context lab: context.user nobody is not in users: lab\n`,
      });
    }
  });

  test("a backend that cannot be had ends a daemon with what it takes, told once, whether or not an API answers", async () => {
    const nobody = lab.file("nobody", readFileSync(config.token, "utf8").replace(`:${port}"`, ':1"'));
    const without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", fairwayBinary];
    const proxy = ["proxy", "--kubeconfig", nobody, "--run-dir", join(lab.folder, "unusable"), "--metrics-port", "7451"];
    const refused = await lab.run(...without, ...proxy, "--healthz-bind-address", "", "--backend", "nftables");
    expect(refused.code).toBe(1);
    expect((refused.stderr + refused.stdout).split("it takes root, or CAP_NET_ADMIN in this network namespace").length - 1).toBe(1);
  });

  test("a second API server on the same data is refused", async () => {
    const second = await lab.fairway("apiserver", "--data-dir", join(lab.folder, "api"), "--bind-address", ip, "--secure-port", "7401");
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(join(lab.folder, "api"));
    expect((await kubectl("get", "--raw", "/readyz")).stdout).toBe("ok");
  });

  test("the API goes: everything is served on, also by a daemon that starts meanwhile", async () => {
    expect(await api.end()).toBe(0);
    expect(await everyWay()).toEqual(served);
    expect(await daemon.end()).toBe(0);
    // Rules hold without any process.
    expect(await body("http://10.116.0.50/")).toBe("by hand");
    daemon = startDaemon();
    await serves("without the API");
    expect(await observed("/readyz")).toBe("ok");
    await eventually(() => daemon.output().includes("serving what was known") || undefined, { what: "the log says so" });
  });

  test("the API comes back with another token: told, and taken up as soon as the plugin gives it", async () => {
    api = startApi(join(lab.folder, "tokens-2.csv"));
    await eventually(() => daemon.output().includes("does not accept this credential") || undefined, { what: "the log says why" });
    await apply("later.yaml", later);
    renameSync(join(lab.folder, "credential-2"), join(lab.folder, "credential"));
    await eventually(async () => (await body("http://10.116.0.52/")) === "by hand" || undefined, { what: "a new Service is programmed" });
    expect(await answers("later.default.svc.cluster.local")).toBe("10.116.0.52");
  });

  test.each(["agent", "dns", "ingress"])("kill -9 of %s: served again at once", async (role) => {
    const [pid, ...others] = await lab.pids(`process ${role} `);
    expect([pid, others]).toEqual([expect.any(Number), []]);
    process.kill(Number(pid), "SIGKILL");
    await serves(`after ${role}`);
    await eventually(async () => (await observed("/readyz")) === "ok" || undefined, { what: "ready again" });
  });

  test("another daemon takes over: no request or query fails, and what is open with the one before goes on", async () => {
    const loop = (done: string, what: string): Promise<CommandResult> =>
      lab.run("sh", "-c", `while [ ! -e ${join(lab.folder, done)} ]; do ${what} || echo failed; done`);
    const requests = loop("over", `curl -sS -m 30 -o /dev/null -w '%{http_code}\\n' -H 'Host: hand.test' http://${ip}/`);
    const queries = loop("over", "dig +short +time=10 +tries=1 @10.116.0.10 hand.default.svc.cluster.local");
    const kept = lab.run(process.execPath, "-e", twoRequests, ip, lab.file("answers", ""), join(lab.folder, "again"));
    const ofSession = async (): Promise<string> =>
      (await lab.run(process.execPath, "-e", requestOfSession, ip, join(lab.folder, "session"))).stdout;
    expect([await ofSession(), await ofSession()]).toEqual(["new\n", "resumed\n"]);
    const answered = (n: number): Promise<unknown> =>
      eventually(() => readFileSync(join(lab.folder, "answers"), "utf8").split("\n").length > n || undefined, { what: `answer ${n}` });
    await answered(1);

    const before = daemon;
    daemon = startDaemon();
    await eventually(() => before.output().includes("the other daemon serves") || undefined, { what: "the next daemon serves" });
    await serves("by both");
    await eventually(async () => (await observed("/readyz")) === "ok" || undefined, { what: "ready again" });
    expect(before.process.exitCode).toBeNull();
    lab.file("again", "");
    await answered(2);
    expect((await kept).stdout).toBe("");
    const [first, second] = readFileSync(join(lab.folder, "answers"), "utf8").split("\n");
    // the same connection, which then is told to close
    expect([first, second]).toEqual([expect.stringMatching(/^\d+ open by hand$/), first?.replace("open", "close")]);
    await eventually(() => before.process.exitCode !== null || undefined, { what: "the one before has ended" });
    expect(before.process.exitCode).toBe(0);
    expect(existsSync(join(lab.folder, "ready"))).toBe(true);
    await serves("by the next daemon alone");
    expect(await ofSession()).toBe("resumed\n");
    lab.file("over", "");
    const codes = (await requests).stdout.trim().split("\n");
    expect([...new Set(codes)]).toEqual(["200"]);
    expect(
      (await queries).stdout
        .trim()
        .split("\n")
        .filter((a) => a !== "10.116.0.50"),
    ).toEqual([]);
  });

  test("kill -9 of the daemon: its children end, rules hold, the next one takes over", async () => {
    await daemon.end("SIGKILL");
    expect(await body("http://10.116.0.50/")).toBe("by hand");
    await eventually(async () => (await lab.pids("process ")).length === 0 || undefined, { what: "no child is left" });
    daemon = startDaemon();
    await serves("by the next daemon");
  });

  test("SIGTERM ends every role in order; cleanup takes only what is ours", async () => {
    expect(await daemon.end()).toBe(0);
    for (const role of Object.values(roles)) expect(await role.end()).toBe(0);
    expect(await api.end()).toBe(0);
    await lab.run("nft", "add", "table", "ip", "foreign");
    const tables = async (): Promise<string> => (await lab.run("nft", "list", "tables")).stdout;
    expect(await tables()).toContain("table ip fairway");
    expect(await lab.fairway("proxy", "--cleanup")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await tables()).toBe("table ip foreign\n");
    expect(await lab.fairway("proxy", "--cleanup")).toMatchObject({ code: 0 });
  });
});
