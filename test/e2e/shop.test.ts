import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { command, eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl", "dig");

/** One cluster, made as `npm start` makes it, for all tests of this file: the shop, used with kubectl, curl and dig. */
describe.skipIf(lack !== undefined)(`the shop${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let ingress: { ip: string; http: number; https: number };

  beforeAll(async () => {
    cluster = await startTestCluster({
      name: "e2e-shop",
      command: "demo",
      args: [
        "--api-port",
        "0",
        "--ingress-http-port",
        "0",
        "--ingress-https-port",
        "0",
        "--service-cidr",
        "10.103.0.0/16",
        "--cluster-cidr",
        "10.203.0.0/16",
      ],
      wait: 240_000,
    });
    const status = (await cluster.status()) as { ingress: { addresses: (typeof ingress)[] } };
    ingress = status.ingress.addresses[0] as typeof ingress;
  });

  afterAll(async () => {
    if (cluster === undefined) return;
    const code = await cluster.stop();
    await cluster.fairway("down", "--name", "e2e-shop", "--data-dir", cluster.dataDir);
    removeDataDir(cluster);
    expect(code).toBe(0);
    const left = await command("sh", ["-c", "ip netns list; ip -o link; mount | grep overlay; ls /run/fairway/machines 2>/dev/null"]);
    expect(left.stdout).not.toContain("e2e-shop");
  });

  const curl = (host: string, path: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    command("curl", [
      "-sS",
      "-m",
      "60",
      "--cacert",
      join(cluster.dataDir, "ca.crt"),
      "--connect-to",
      `::${ingress.ip}:${ingress.https}`,
      ...args,
      `https://${host}${path}`,
    ]);
  const dig = async (...args: string[]): Promise<string[]> => {
    const { stdout } = await command("dig", ["@10.103.0.10", "+short", "+tries=3", "+time=5", ...args]);
    return stdout
      .split("\n")
      .filter((l) => l !== "")
      .sort();
  };
  const service = async (
    name: string,
  ): Promise<{ spec: { clusterIP: string; ports: { nodePort: number }[] }; status: { loadBalancer: { ingress: { ip: string }[] } } }> =>
    JSON.parse((await cluster.kubectl("-n", "shop", "get", "service", name, "-o", "json")).stdout);

  test("TLS by the local CA, host and path rules", async () => {
    const web = JSON.parse((await curl("shop.test", "/")).stdout) as { pod: string; path: string };
    expect(web.pod).toMatch(/^web(-next)?-/);
    const api = JSON.parse((await curl("shop.test", "/version")).stdout) as { pod: string };
    expect(api.pod).toMatch(/^api-/);
    const other = JSON.parse((await curl("api.shop.test", "/")).stdout) as { pod: string };
    expect(other.pod).toMatch(/^api-/);
  });

  test("rewrite with capture groups", async () => {
    const answer = JSON.parse((await curl("api.shop.test", "/v1/items/7?x=1")).stdout) as { path: string };
    expect(answer.path).toBe("/items/7?x=1");
  });

  test("basic auth, redirect, https redirect", async () => {
    expect((await curl("shop.test", "/admin", "-o", "/dev/null", "-w", "%{http_code}")).stdout).toBe("401");
    expect((await curl("shop.test", "/admin", "-o", "/dev/null", "-w", "%{http_code}", "-u", "admin:fairway")).stdout).toBe("200");
    expect((await curl("shop.test", "/old", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}")).stdout).toBe(
      "308 https://shop.test/new",
    );
    const plain = await command("curl", [
      "-sS",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "--connect-to",
      `::${ingress.ip}:${ingress.http}`,
      "http://shop.test/",
    ]);
    expect(plain.stdout).toBe("308");
  });

  test("rate limit", async () => {
    // On one connection, so that they come faster than five a second on any machine.
    const { stdout } = await curl("shop.test", "/limited?[1-40]", "-o", "/dev/null", "-w", "%{http_code}\n");
    const codes = stdout.trim().split("\n");
    expect(codes).toHaveLength(40);
    expect(new Set(codes)).toEqual(new Set(["200", "503"]));
  });

  test("canary by header and by weight", async () => {
    const always = JSON.parse((await curl("shop.test", "/", "-H", "X-Canary: always")).stdout) as { pod: string };
    expect(always.pod).toMatch(/^web-next-/);
    const never = JSON.parse((await curl("shop.test", "/", "-H", "X-Canary: never")).stdout) as { pod: string };
    expect(never.pod).toMatch(/^web-[^n]/);
    const answers = await Promise.all(Array.from({ length: 60 }, () => curl("shop.test", "/")));
    const next = answers.filter((a) => a.stdout.includes('"web-next-')).length;
    expect(next).toBeGreaterThan(1);
    expect(next).toBeLessThan(35);
  });

  test("names: Service, headless, StatefulSet members, SRV, PTR, ExternalName, NXDOMAIN and NODATA", async () => {
    const zone = "shop.svc.cluster.local";
    const web = await service("web");
    expect(await dig(`web.${zone}`)).toEqual([web.spec.clusterIP]);
    expect(await dig("-x", web.spec.clusterIP)).toEqual([`web.${zone}.`]);
    expect(await dig(`store.${zone}`)).toHaveLength(3);
    expect(await dig(`store-0.store.${zone}`)).toHaveLength(1);
    expect((await dig("SRV", `_http._tcp.api.${zone}`))[0]).toMatch(/api\.shop\.svc\.cluster\.local\.$/);
    expect((await dig("CNAME", `payments.${zone}`))[0]).toMatch(/\.$/);
    const nx = await command("dig", ["@10.103.0.10", `nothing.${zone}`]);
    expect(nx.stdout).toContain("NXDOMAIN");
    const nodata = await command("dig", ["@10.103.0.10", `web.${zone}`, "MX"]);
    expect(nodata.stdout).toContain("NOERROR");
    expect(nodata.stdout).toContain("SOA");
  });

  test("pods reach Services by short names, and the API", async () => {
    for (const name of ["web", "web.shop", "web.shop.svc"]) {
      const answer = await cluster.kubectl(
        "-n",
        "shop",
        "exec",
        "store-0",
        "-c",
        "echo",
        "--",
        "curl",
        "-sS",
        "-m",
        "30",
        `http://${name}/`,
      );
      expect(answer.stderr).toBe("");
      expect(answer.stdout).toContain('"pod":"web-');
    }
    const api = await cluster.kubectl(
      "-n",
      "shop",
      "exec",
      "store-0",
      "--",
      "sh",
      "-c",
      "curl -sS -m 30 --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version",
    );
    expect(api.stdout).toContain("fairway");
  });

  test("ClusterIP, NodePort and LoadBalancer from this machine", async () => {
    const [web, node, lb] = await Promise.all([service("web"), service("web-node"), service("web-lb")]);
    const status = (await cluster.status()) as { nodes: { addresses: string[] }[] };
    const urls = [
      `http://${web.spec.clusterIP}/`,
      ...status.nodes.map((n) => `http://${n.addresses[0]}:${node.spec.ports[0]?.nodePort}/`),
      `http://${lb.status.loadBalancer.ingress[0]?.ip}/`,
    ];
    for (const url of urls) {
      const answer = await command("curl", ["-sS", "-m", "30", url]);
      expect(answer.stdout, url).toContain('"pod":"web-');
    }
  });

  test("questions agree with the cluster", async () => {
    const trace = JSON.parse(
      (await cluster.fairway("trace", "--node", "node-1", "--from", "external", "--to", "web.shop:80", "-o", "json")).stdout,
    ) as { verdict: string; endpoints: string[] };
    expect(trace.verdict).toBe("deliver");
    const slices = JSON.parse(
      (await cluster.kubectl("-n", "shop", "get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json")).stdout,
    ) as {
      items: { endpoints: { addresses: string[] }[]; ports: { port: number }[] }[];
    };
    const want = slices.items.flatMap((s) => s.endpoints.map((e) => `${e.addresses[0]}:${s.ports[0]?.port}`)).sort();
    expect([...trace.endpoints].sort()).toEqual(want);
    const route = JSON.parse((await cluster.fairway("route", "https://shop.test/version", "-o", "json")).stdout) as {
      outcome: string;
      backends: { service: string }[];
    };
    expect(route.backends[0]?.service).toBe("shop/api");
    const name = JSON.parse((await cluster.fairway("resolve", "web.shop.svc.cluster.local", "-o", "json")).stdout) as {
      answers: { data: string }[];
    };
    expect(name.answers[0]?.data).toBe((await service("web")).spec.clusterIP);
  });

  test("no request fails while the web rolls", async () => {
    const load = command("sh", [
      "-c",
      `for i in $(seq 1 200); do curl -sS -m 30 -o /dev/null -w '%{http_code}\\n' --cacert ${join(cluster.dataDir, "ca.crt")} --connect-to ::${ingress.ip}:${ingress.https} https://shop.test/ || echo failed; done`,
    ]);
    const restart = await cluster.kubectl("-n", "shop", "rollout", "restart", "deployment/web");
    expect(restart.code).toBe(0);
    const done = await cluster.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=120s");
    expect(done.stdout).toContain("successfully rolled out");
    const codes = (await load).stdout.trim().split("\n");
    expect(codes.filter((c) => c !== "200")).toEqual([]);
  });

  test("kubectl: apply, scale, label, logs, describe, wait, delete", async () => {
    const applied = await cluster.kubectl("create", "deployment", "extra", "--image=fairway/echo", "--replicas=1");
    expect(applied.stdout).toContain("deployment.apps/extra created");
    await cluster.kubectl("scale", "deployment/extra", "--replicas=2");
    const waited = await cluster.kubectl("wait", "deployment/extra", "--for=condition=Available", "--timeout=120s");
    expect(waited.stdout).toContain("condition met");
    await eventually(async () => {
      const pods = await cluster.kubectl("get", "pods", "-l", "app=extra", "--no-headers");
      return pods.stdout.split("\n").filter((l) => / Running /.test(l)).length === 2 ? true : undefined;
    });
    expect((await cluster.kubectl("describe", "deployment", "extra")).stdout).toContain("ScalingReplicaSet");
    expect((await cluster.kubectl("delete", "deployment", "extra")).stdout).toContain("deleted");
    await eventually(async () =>
      (await cluster.kubectl("get", "pods", "-l", "app=extra", "--no-headers")).stdout === "" ? true : undefined,
    );
  });

  test("bad input is refused and changes nothing", async () => {
    const bad = await cluster.kubectlInput(
      JSON.stringify({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "bad", namespace: "shop" },
        spec: { ports: [{ port: 70000 }] },
      }),
      "create",
      "-f",
      "-",
    );
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain("spec.ports[0].port");
    expect((await cluster.kubectl("-n", "shop", "get", "service", "bad")).stderr).toContain("NotFound");
  });

  test("a container sees no keys of this machine, and exec gains no privileges", async () => {
    const script = "cat /etc/shadow; ls -A /root /home; ls $1; grep NoNewPrivs /proc/self/status";
    const { stdout } = await cluster.kubectl(
      "-n",
      "shop",
      "exec",
      "store-0",
      "-c",
      "echo",
      "--",
      "sh",
      "-c",
      script,
      "sh",
      cluster.dataDir,
    );
    expect(
      stdout
        .split("\n")
        .filter((l) => l !== "")
        .map((l) => l.replace(/\s+/g, " ")),
    ).toEqual(["/home:", "/root:", "NoNewPrivs: 1"]);
  });

  test("files of the cluster are this user's only", () => {
    expect(readFileSync(join(cluster.dataDir, "kubeconfig"), "utf8")).toContain("client-certificate-data");
  });
});
