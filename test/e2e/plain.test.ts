import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { command, eventually, fairwayBinary, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { type NoRights, withoutRights } from "../support/no-rights.ts";
import { lackingCommands } from "../support/requires.ts";

const name = "e2e-plain";
const ranges = ["--service-cidr", "127.103.0.0/16", "--cluster-cidr", "127.71.0.0/16"];
const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
const lack = lackingCommands("curl", "dig", "kubectl");

/** `npm start` of a user without any rights: the shop, and nothing left of it. */
describe.skipIf(lack !== undefined)(`plain mode${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let user: NoRights;
  let cluster: TestCluster;
  let dns: { addresses: string[]; port: number };
  let node: string;

  const start = async (): Promise<void> => {
    cluster = await startTestCluster({
      name,
      command: "demo",
      dataDir: join(user.home, "data"),
      args: [...ranges, ...ports],
      through: user.through,
    });
    await eventually(() => cluster.output().includes("Ctrl-C ends it") || undefined);
  };
  const as = (...args: readonly string[]) => command(user.through[0] ?? "env", [...user.through.slice(1), ...args]);
  /** Programs that this cluster's pods or processes are, by what they were started with. */
  const processes = (): readonly string[] =>
    readdirSync("/proc").flatMap((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
      try {
        const text = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        const ours =
          text.includes(user.home) || environment.includes("FAIRWAY_DNS=127.103.0.10") || environment.includes(`${user.home}/data`);
        return ours && text !== "" ? [text.replaceAll("\0", " ").slice(0, 200)] : [];
      } catch {
        return [];
      }
    });
  const json = async <T>(...args: readonly string[]): Promise<T> =>
    JSON.parse((await cluster.kubectl("-n", "shop", "get", ...args, "-o", "json")).stdout) as T;

  beforeAll(async () => {
    user = withoutRights(name, fairwayBinary);
    await start();
    const status = (await cluster.status()) as { dns: typeof dns; nodes: { addresses: string[] }[] };
    dns = status.dns;
    node = status.nodes[0]?.addresses[0] ?? "";
  });
  afterAll(async () => {
    await cluster?.stop();
    if (user !== undefined) {
      await as(fairwayBinary, "down", "--name", name, "--data-dir", join(user.home, "data"));
      rmSync(user.home, { recursive: true, force: true });
    }
  });

  test("says what is missing for a whole cluster", () => {
    expect(cluster.output()).toMatch(/plain mode: one node.*\n.*bind \$POD_IP/);
    expect(cluster.output()).toMatch(/missing for a whole cluster.*\n {4}administrator rights: /);
    expect(node).toMatch(/^127\.127\.\d+\.11$/);
  });

  test("every line of the tour works as pasted", async () => {
    const text = cluster.output().slice(cluster.output().indexOf("\nready\n"));
    const lines = text.split("\n").flatMap((l) => (/^ {2}[^#\s]/.test(l) ? [l.trim()] : []));
    const [exported = "", path = "", ...tour] = lines;
    expect(tour.length).toBeGreaterThan(15);
    for (const line of tour) {
      const done = await as("sh", "-c", `${exported}\n${path}\n${line.replace(/^curl /, "curl -sS --fail -m 30 ")}`);
      expect(done, line).toMatchObject({ code: 0 });
      expect(done.stdout, line).not.toBe("");
    }
  });

  test("names; cluster, load balancer and node addresses through sockets of its own", async () => {
    const web = await json<{ spec: { clusterIP: string } }>("service", "web");
    const asked = await command("dig", [`@${dns.addresses[0]}`, "-p", `${dns.port}`, "web.shop.svc.cluster.local", "+short"]);
    expect(asked.stdout.trim()).toBe(web.spec.clusterIP);
    const port = 80 + dns.port - 53;
    const answer = await command("curl", ["-sS", "-m", "30", `http://${web.spec.clusterIP}:${port}/`]);
    expect(JSON.parse(answer.stdout)).toMatchObject({ namespace: "shop", node: "node-1" });
    const trace = await cluster.fairway("trace", "--node", "node-1", "--from", "external", "--to", "web.shop:80", "-o", "json");
    expect(JSON.parse(trace.stdout)).toMatchObject({ verdict: "deliver", service: "shop/web:http" });
    if (dns.port !== 53) {
      const status = await cluster.fairway("status");
      expect(status.stdout).toMatch(/Service shop\/web: spec\.ports: .* port 80\/tcp may not be bound by this user; .* \(PortMoved\)/);
    }
  });

  test("no request fails while the web rolls", async () => {
    const { spec } = await json<{ spec: { clusterIP: string } }>("service", "web");
    const url = `http://${spec.clusterIP}:${80 + dns.port - 53}/`;
    const load = command("sh", [
      "-c",
      `for i in $(seq 1 100); do curl -sS -m 30 -o /dev/null -w '%{http_code}\\n' ${url} || echo failed; done`,
    ]);
    expect((await cluster.kubectl("-n", "shop", "rollout", "restart", "deployment/web")).code).toBe(0);
    const done = await cluster.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=120s");
    expect(done.stdout).toContain("successfully rolled out");
    expect(
      (await load).stdout
        .trim()
        .split("\n")
        .filter((c) => c !== "200"),
    ).toEqual([]);
  });

  test("another cluster on the same ranges is refused, in words", async () => {
    const other = await as(fairwayBinary, "up", "--name", "e2e-plain-2", "--data-dir", join(user.home, "two"), ...ranges, ...ports);
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/^fairway: --service-cidr 127\.103\.0\.0\/16: another cluster in plain mode has it; /);
  });

  test.each([
    ["--data-dir", "/proc/fairway", "/proc is on procfs, which keeps no files; choose a folder on a disk"],
    ["--data-dir", "/etc/fairway-data", "/etc may not be written by this user; choose another place"],
    ["--kubeconfig", "/etc/fairway-kubeconfig", "/etc may not be written by this user; choose another place"],
    ["--images", "/nope", "no such file or folder"],
  ])("up %s %s is refused, in words", async (option, path, why) => {
    const line = ["up", "--name", "e2e-plain-3", "--mode", "plain", "--data-dir", join(user.home, "three"), ...ranges, ...ports];
    const refused = await as(fairwayBinary, ...line, option, path);
    expect(refused.stderr).toBe(`fairway: ${option} ${path}: ${why}\n`);
    expect(refused.code).toBe(2);
  });

  test.each([
    ["--api-port", () => cluster.status().then((s) => (s["api"] as { port: number }).port)],
    ["--ingress-http-port", () => cluster.status().then((s) => (s["ingress"] as { addresses: { http: number }[] }).addresses[0]?.http)],
  ])("a taken %s is told with who has it", async (option, taken) => {
    const port = `${await taken()}`;
    const others = ["--service-cidr", "127.104.0.0/16", "--cluster-cidr", "127.72.0.0/16"];
    const line = ["up", "--name", "e2e-plain-4", "--mode", "plain", "--data-dir", join(user.home, "four"), ...others, ...ports];
    const refused = await as(fairwayBinary, ...line, option, port);
    expect(refused.stderr).toMatch(
      new RegExp(
        `^fairway: ${option}: tcp 127\\.0\\.0\\.1:${port} is taken by process \\d+ \\(.*fairway.*\\); end it or choose another port\\n$`,
      ),
    );
    expect(refused.code).toBe(1);
  });

  test("a pod reaches the API by its environment", async () => {
    const address = "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version";
    const script = `curl -sS -m 10 --cacert ${join(user.home, "data", "pki", "ca.crt")} ${address}`;
    const asked = await cluster.kubectl("-n", "shop", "exec", "deploy/web", "--", "sh", "-c", script);
    expect(JSON.parse(asked.stdout)).toMatchObject({ major: "1" });
  });

  test("after kill -9 the next start goes on with the pods that run; stop leaves nothing", async () => {
    const restarts = async (): Promise<string> =>
      (
        await cluster.kubectl(
          "-n",
          "shop",
          "get",
          "pods",
          "-l",
          "app=store",
          "--no-headers",
          "-o",
          "custom-columns=N:.status.containerStatuses[0].restartCount",
        )
      ).stdout;
    const before = await restarts();
    cluster.process.kill("SIGKILL");
    await eventually(() => (processes().some((p) => p.includes(" process ")) ? undefined : true), { what: "the end of its processes" });
    await start();
    expect(await restarts()).toBe(before);
    const began = performance.now();
    expect(await cluster.stop()).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000); // a pod's grace of 30 s is not waited for
    expect(processes()).toEqual([]);
  });

  test("down removes what a killed one left", async () => {
    await start();
    cluster.process.kill("SIGKILL");
    await eventually(() => (processes().some((p) => p.includes(" process ")) ? undefined : true), { what: "the end of its processes" });
    expect(processes().length).toBeGreaterThan(8);
    const down = await as(fairwayBinary, "down", "--name", name, "--data-dir", join(user.home, "data"));
    expect(down.stdout).toMatch(/removed \d+ pods/);
    await eventually(() => (processes().length === 0 ? true : undefined), { what: "the end of its pods" });
  });
});
