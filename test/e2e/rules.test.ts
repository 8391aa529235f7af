import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CommandResult, eventually, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "nc");

const port = { name: "http", port: 80, targetPort: 8080 };
const service = (name: string, spec: object, annotations: object = {}): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, annotations },
  spec,
});
const slice = (of: string, addresses: readonly string[]): object => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: `${of}-1`, labels: { "kubernetes.io/service-name": of } },
  addressType: "IPv4",
  ports: [{ name: "http", protocol: "TCP", port: 8080 }],
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
});
const web = service("web", { clusterIP: "10.163.7.7", ports: [port] });

interface Entry {
  readonly outcome: string;
  readonly causes: readonly { readonly kind: string; readonly resourceVersion: string; readonly fields: readonly string[] }[];
  readonly services: readonly { readonly service: string; readonly gained: readonly string[]; readonly lost: readonly string[] }[];
}
interface Plan {
  readonly flows: readonly { readonly change: string; readonly to: string; readonly after: { readonly verdict: string } }[];
  readonly names: readonly { readonly name: string; readonly change: string }[];
  readonly breaks: readonly { readonly kind: string; readonly what: string; readonly why: string }[];
}
interface Trace {
  readonly verdict: string;
  readonly endpoints: readonly string[];
}

/** What an operator asks about Service rules of a live cluster, and is told without asking. */
describe.skipIf(lack !== undefined)(`Service rules as their operator sees them${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let folder: string;
  let cluster: TestCluster;

  const apply = async (...objects: readonly object[]): Promise<CommandResult> =>
    cluster.kubectlInput(JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }), "apply", "-f", "-");
  const json = async <T>(...args: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await cluster.fairway(...args, "-o", "json");
    // it warns of objects that cannot have what they ask for
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^(fairway: warning: .*\n)*$/)]);
    return JSON.parse(stdout) as T;
  };
  const trace = (to: string): Promise<Trace> => json<Trace>("trace", "--node", "node-1", "--from", "node", "--to", to);
  const served = (to: string, ...endpoints: readonly string[]): Promise<true> =>
    eventually(async () => ((await trace(to)).endpoints.join() === endpoints.join() ? true : undefined), { what: `${to} is served` });
  const manifest = (...objects: readonly object[]): string => {
    const file = join(folder, "change.json");
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
    return file;
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "fairway-e2e-rules-files-"));
    const ranges = ["--service-cidr", "10.163.0.0/16", "--cluster-cidr", "10.164.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    cluster = await startTestCluster({ name: "e2e-rules", args: ["--nodes", "1", ...ranges, ...ports] });
    expect((await apply(web, slice("web", ["192.0.2.1"]))).stderr).toBe("");
    await served("10.163.7.7:80", "192.0.2.1:8080");
  });
  afterAll(async () => {
    await cluster?.stop();
    if (cluster !== undefined) rmSync(cluster.dataDir, { recursive: true, force: true });
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  test("history: what changed the rules of a Service, with the version of the object that did and what it gained and lost", async () => {
    await apply(slice("web", ["192.0.2.2"]));
    await served("10.163.7.7:80", "192.0.2.2:8080");
    const versionOf = async (what: string): Promise<string> =>
      (await cluster.kubectl("get", what, "-o", "jsonpath={.metadata.resourceVersion}")).stdout;
    const [entry] = await json<readonly Entry[]>("history", "--service", "default/web", "--limit", "1");
    expect(entry).toMatchObject({
      outcome: "applied",
      causes: [{ kind: "EndpointSlice", name: "web-1", resourceVersion: await versionOf("endpointslice/web-1"), change: "changed" }],
      services: [{ service: "default/web:http", gained: ["192.0.2.2:8080"], lost: ["192.0.2.1:8080"] }],
    });

    await cluster.kubectl("patch", "service/web", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}');
    const version = await versionOf("service/web");
    const told = new RegExp(
      ` applied .* default/web:http \\(affinity none → 10800 s\\) +Service default/web @${version} changed \\(spec\\.sess`,
    );
    const said = await eventually(async () => {
      const { stdout } = await cluster.fairway("history", "--service", "default/web");
      return told.test(stdout) ? stdout : undefined;
    });
    // it names the Service asked for only, the latest first
    const lines = said.trimEnd().split("\n").slice(1);
    expect(lines.length).toBeGreaterThanOrEqual(3);
    expect(lines.findIndex((l) => told.test(l))).toBe(0);
    expect(await json<readonly Entry[]>("history", "--limit", "2")).toHaveLength(2);
    expect(await json<readonly Entry[]>("history", "--service", "default/nobody")).toEqual([]);
  });

  test("plan: what would break is what breaks; nothing is written by asking", async () => {
    const same = await cluster.fairway("plan", "--change", manifest(web), "--fail");
    expect([same.code, same.stdout]).toEqual([
      0,
      expect.stringMatching(/Service default\/web: is so already\n\nNo connection, name or route would change\.\n$/),
    ]);

    const next = service("web", { clusterIP: "10.163.7.7", ports: [{ ...port, port: 81 }] });
    const plan = await json<Plan>("plan", "--change", manifest(next));
    const gained = plan.flows.filter((f) => f.change === "gained");
    expect([...new Set(gained.map((f) => f.to))]).toEqual(["10.163.7.7:81/tcp"]);
    expect(plan.breaks).toEqual([
      { kind: "connection", what: "10.163.7.7:80/tcp of default/web:http", why: "rejected, from everywhere", nodes: ["node-1"] },
    ]);
    const text = await cluster.fairway("plan", "--change", manifest(next), "--fail");
    expect(text.code).toBe(1);
    expect(text.stdout).toMatch(/\nWould break\n {2}! 10\.163\.7\.7:80\/tcp of default\/web:http: rejected, from everywhere\n$/);
    // asked, not done
    expect((await trace("10.163.7.7:80")).verdict).toBe("deliver");

    await apply(next);
    await served("10.163.7.7:81", "192.0.2.2:8080");
    expect((await trace("10.163.7.7:80")).verdict).toBe("reject");

    const gone = await json<Plan>("plan", "--delete", "Service/default/web");
    expect(gone.breaks.map((b) => `${b.kind} ${b.what} ${b.why}`)).toEqual([
      "connection 10.163.7.7:81/tcp of default/web:http dropped, from everywhere",
      "name _http._tcp.web.default.svc.cluster.local. is no more",
      "name web.default.svc.cluster.local. is no more",
    ]);
  });

  test("bad input: the rest is programmed; the object's Event, status and metrics say what is wrong, and with whom it clashes", async () => {
    // nobody on this node should have this port but a node port
    const listening = await cluster.fairway("node-exec", "node-1", "--", "sh", "-c", "nc -lk 30463 >/dev/null 2>&1 & echo $!");
    const pid = Number(listening.stdout.trim());
    expect(pid).toBeGreaterThan(1);
    try {
      const refused = await apply(service("ranged", { type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.0/33"], ports: [port] }));
      expect(refused.stderr).toMatch(/spec\.LoadBalancerSourceRanges\[0\]: Invalid value: "10\.0\.0\.0\/33"/);
      await apply(
        service("older", { externalIPs: ["198.51.100.9"], ports: [port] }),
        service("occupied", { type: "NodePort", clusterIP: "10.163.7.8", ports: [{ ...port, nodePort: 30463 }] }),
        service("unsaid", { clusterIP: "10.163.7.9", ports: [port] }, { "fairway.dev/balance": "fairest" }),
        ...["older", "occupied", "unsaid"].map((of) => slice(of, ["192.0.2.7"])),
      );
      await served("198.51.100.9:80", "192.0.2.7:8080");
      await apply(
        service("younger", { externalIPs: ["198.51.100.9"], clusterIP: "10.163.7.10", ports: [port] }),
        slice("younger", ["192.0.2.8"]),
      );
      const clash = await apply(service("second", { type: "NodePort", ports: [{ ...port, nodePort: 30463 }] }));
      expect(clash.stderr).toMatch(/nodePort: Invalid value: 30463: provided port is already allocated/);
      // each of them has all else that it asks for
      for (const ip of ["10.163.7.8", "10.163.7.9"]) await served(`${ip}:80`, "192.0.2.7:8080");
      await served("10.163.7.10:80", "192.0.2.8:8080");
      await served("198.51.100.9:80", "192.0.2.7:8080");

      const problems = [
        { of: "younger", reason: "AddressConflict", says: /Service default\/older/ },
        {
          of: "occupied",
          reason: "NodePortOccupied",
          says: new RegExp(`process ${pid} \\(nc -lk 30463\\) listens at node port 30463/tcp`),
        },
        { of: "unsaid", reason: "BalanceInvalid", says: /fairest/ },
      ];
      const { nodes } = await json<{
        readonly nodes: readonly { readonly metrics: { readonly address: string; readonly port: number } }[];
      }>("status");
      const at = nodes[0]?.metrics;
      for (const { of, reason, says } of problems) {
        await eventually(
          async () => {
            const { stdout } = await cluster.kubectl("events", "--for", `service/${of}`);
            return (stdout.includes(reason) && says.test(stdout)) || undefined;
          },
          { what: `an Event of ${of}` },
        );
        await eventually(
          async () => {
            const { stdout } = await cluster.fairway("status");
            return stdout.split("\n").some((l) => l.includes(`Service default/${of}`) && says.test(l)) || undefined;
          },
          { what: `a line of status about ${of}` },
        );
        const metrics = await (await fetch(`http://${at?.address}:${at?.port}/metrics`)).text();
        expect(metrics).toContain(`fairway_rules_problems{reason="${reason}"} 1\n`);
      }
    } finally {
      process.kill(pid);
    }
  });
});
