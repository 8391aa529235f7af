import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, pidsOf, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "dig");
const name = "e2e-corefile";
const nodeLocal = "169.254.20.10";
const corefile = (ip: string, ttl: number): string => `.:53 {
  errors
  rewrite name suffix .corp .default.svc.cluster.local answer auto
  hosts {
    ${ip} git.example.org
    fallthrough
  }
  kubernetes cluster.local clusterset.local in-addr.arpa {
    multicluster clusterset.local
    ttl ${ttl}
    fallthrough in-addr.arpa
  }
  autopath @kubernetes
  reload 2s 0s
}
`;

/** What a controller of several clusters writes: an address of the set, and endpoints of another cluster. */
const imports = `
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: web, namespace: default}
spec: {type: ClusterSetIP, ips: [10.112.0.1], ports: [{name: http, port: 80}]}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: db, namespace: default}
spec: {type: Headless, ports: [{name: pg, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: db-of-east
  namespace: default
  labels: {multicluster.kubernetes.io/service-name: db, multicluster.kubernetes.io/source-cluster: east}
addressType: IPv4
endpoints: [{addresses: [10.113.0.7], hostname: db-0}]
ports: [{name: pg, port: 5432}]
`;

describe.skipIf(lack !== undefined)(`a cluster that follows a Corefile${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let folder = "";
  const write = (text: string): void => writeFileSync(join(folder, "Corefile"), text);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "corefile-of-e2e-"));
    write(corefile("10.1.1.1", 30));
    const ranges = ["--service-cidr", "10.151.0.0/16", "--cluster-cidr", "10.152.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    const dns = ["--corefile", join(folder, "Corefile"), "--node-local-dns", nodeLocal];
    cluster = await startTestCluster({ name, args: ["--nodes", "1", ...ports, ...ranges, ...dns] });
  });

  afterAll(async () => {
    const code = await cluster?.stop();
    if (folder !== "") rmSync(folder, { recursive: true });
    if (cluster === undefined) return;
    await cluster.fairway("down", "--name", name, "--data-dir", cluster.dataDir);
    removeDataDir(cluster);
    expect(code).toBe(0);
  });

  const onNode = async (...args: readonly string[]): Promise<string> =>
    (await cluster.fairway("node-exec", "node-1", "--", ...args)).stdout;
  const dig = async (server: string, ...words: readonly string[]): Promise<readonly string[]> =>
    (await onNode("dig", "+noall", "+answer", "+tries=3", "+time=5", `@${server}`, ...words))
      .trim()
      .split("\n")
      .map((line) => line.replace(/\s+/g, " "));

  test("it answers at the cluster's address and at the node's own, which is not tracked", async () => {
    for (const server of ["10.151.0.10", nodeLocal]) {
      expect(await dig(server, "git.example.org")).toEqual(["git.example.org. 3600 IN A 10.1.1.1"]);
      expect(await dig(server, "kubernetes.corp")).toEqual(["kubernetes.corp. 30 IN A 10.151.0.1"]);
      expect(await dig(server, "git.example.org.default.svc.cluster.local")).toContain("git.example.org. 3600 IN A 10.1.1.1");
    }
    const untracked = async (): Promise<true | undefined> =>
      (await onNode("nft", "list", "ruleset")).includes(nodeLocal) ? true : undefined;
    await eventually(untracked, { what: "the node's own address in the rules" });
  });

  test("Services of other clusters are in the zone of the set", async () => {
    const applied = await cluster.kubectlInput(imports, "apply", "-f", "-");
    expect(applied.stderr).toBe("");
    const answers = async (name: string, type: string, want: string): Promise<void> => {
      const answer = async (): Promise<true | undefined> => ((await dig(nodeLocal, name, type)).includes(want) ? true : undefined);
      await eventually(answer, { what: `${name} ${type}: ${want}` });
    };
    await answers("web.default.svc.clusterset.local", "A", "web.default.svc.clusterset.local. 30 IN A 10.112.0.1");
    await answers("db.default.svc.clusterset.local", "A", "db.default.svc.clusterset.local. 30 IN A 10.113.0.7");
    const srv = "_pg._tcp.db.default.svc.clusterset.local";
    await answers(srv, "SRV", `${srv}. 30 IN SRV 0 100 5432 db-0.east.db.default.svc.clusterset.local.`);
    await answers("7.0.113.10.in-addr.arpa", "PTR", "7.0.113.10.in-addr.arpa. 30 IN PTR db-0.east.db.default.svc.clusterset.local.");
    await cluster.kubectl("delete", "serviceimport", "db");
    await eventually(async () => ((await dig(nodeLocal, "db.default.svc.clusterset.local")).join() === "" ? true : undefined), {
      what: "the end of an import",
    });
  });

  test("a change is taken over, a bad one is not, and one of the names starts another process", async () => {
    const answer = async (want: string): Promise<true | undefined> =>
      (await dig(nodeLocal, "git.example.org")).join() === want ? true : undefined;
    write(".:53 {\n cash\n}\n");
    await eventually(async () => (cluster.output().includes("no plugin cash") ? true : undefined), {
      what: "a word about the bad Corefile",
    });
    expect(await answer("git.example.org. 3600 IN A 10.1.1.1")).toBe(true);
    write(corefile("10.2.2.2", 30));
    await eventually(() => answer("git.example.org. 3600 IN A 10.2.2.2"), { what: "the new Corefile" });
    write(corefile("10.2.2.2", 9));
    const ttl = async (): Promise<true | undefined> =>
      (await dig(nodeLocal, "kubernetes.corp")).join().includes(" 9 IN A") ? true : undefined;
    await eventually(ttl, { what: "the names' new TTL" });
  });

  test("no query is lost while the daemon is upgraded, and while a Corefile takes another process", async () => {
    const stop = join(folder, "stop");
    const names = ["kubernetes.default.svc.cluster.local", "kubernetes.corp", "git.example.org"];
    const program = join(import.meta.dirname, "../support/dns-load.program.ts");
    const asking = cluster.fairway("node-exec", "node-1", "--", process.execPath, program, nodeLocal, stop, ...names);
    const replaced = async (before: readonly number[]): Promise<readonly number[]> =>
      eventually(
        async () => {
          const now = await pidsOf(cluster, "process dns");
          return now.length > 0 && now.every((pid) => !before.includes(pid)) ? now : undefined;
        },
        { what: "another DNS process, and the end of the one before" },
      );
    let before: readonly number[] = await pidsOf(cluster, "process dns");
    for (const pid of await pidsOf(cluster, "process daemon")) process.kill(pid, "SIGUSR2");
    before = await replaced(before);
    write(corefile("10.2.2.2", 12));
    await replaced(before);
    expect((await dig(nodeLocal, "kubernetes.corp")).join()).toContain(" 12 IN A");
    writeFileSync(stop, "");
    const { stdout, stderr } = await asking;
    expect(stderr).toBe("");
    const { asked, failures } = JSON.parse(stdout) as { asked: number; failures: readonly string[] };
    expect(failures).toEqual([]);
    expect(asked).toBeGreaterThan(100);
  });

  test("dns top tells who asked", async () => {
    await dig(nodeLocal, "+search", "+ndots=5", "+domain=default.svc.cluster.local", "www.example.com");
    const { clients } = JSON.parse((await cluster.fairway("dns", "top", "-o", "json")).stdout) as {
      clients: { queries: number; client: string }[];
    };
    expect(clients.some((c) => c.queries > 0)).toBe(true);
  });
});
