import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json as consumeJson } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CommandResult, command, eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";
import { workloadManifest } from "../support/workload-manifests.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl", "dig");
const name = "e2e-work";
const zone = "default.svc.cluster.local";

interface Status {
  readonly containerID: string;
  readonly restartCount: number;
  readonly ready: boolean;
  readonly state: {
    readonly terminated?: { readonly exitCode: number; readonly message?: string };
    readonly waiting?: { readonly reason: string };
  };
  readonly lastState: { readonly terminated?: { readonly exitCode: number } };
}

interface PodView {
  readonly metadata: { readonly name: string; readonly uid: string; readonly creationTimestamp: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly podIP: string;
    readonly hostIP: string;
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
      readonly lastTransitionTime: string;
    }[];
    readonly containerStatuses: readonly Status[];
  };
}

/** One cluster; everything is applied at once, and what takes time is waited for at the same time. */
describe.skipIf(lack !== undefined)(`workloads and Services${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let nodeIps: readonly string[];
  const folder = mkdtempSync(join(tmpdir(), `fairway-${name}-host-`));

  beforeAll(async () => {
    const ranges = ["--service-cidr", "10.106.0.0/16", "--cluster-cidr", "10.206.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    cluster = await startTestCluster({ name, args: ["--nodes", "2", ...ports, ...ranges] });
    const { nodes } = (await cluster.status()) as { nodes: { addresses: string[] }[] };
    nodeIps = nodes.map((n) => n.addresses[0] ?? "");
    expect(await cluster.kubectlInput(workloadManifest(folder), "apply", "-f", "-")).toMatchObject({ code: 0, stderr: "" });
    const ready = ["env", "volumes", "names", "own-dns", "host-network", "host-port", "tcp", "hooks"].map((p) => `pod/${p}`);
    await Promise.all([
      cluster.kubectl("wait", ...ready, "--for=condition=Ready", "--timeout=120s"),
      cluster.kubectl("rollout", "status", "daemonset/each", "--timeout=120s"),
      cluster.kubectl("rollout", "status", "daemonset/renewed", "--timeout=120s"),
      cluster.kubectl("rollout", "status", "deployment/rolled", "--timeout=120s"),
      cluster.kubectl("rollout", "status", "deployment/leaving", "--timeout=120s"),
    ]);
    // A pod that is ready is in the rules a moment later; `early` has one that never is.
    const served = ["each", "sticky", "leaving", "self", "early", "on-one"];
    await Promise.all(served.map(async (of) => eventually(async () => echo(`http://${await ipOf(of)}/`), { what: `${of} answers` })));
  });

  afterAll(async () => {
    const code = await cluster?.stop();
    await cluster?.fairway("down", "--name", name, "--data-dir", cluster.dataDir);
    if (cluster !== undefined) removeDataDir(cluster);
    // Last: while pods live, their hostPath would be made again.
    rmSync(folder, { recursive: true, force: true });
    expect(code).toBe(0);
  });

  const ok = async (asked: Promise<CommandResult>): Promise<string> => {
    const { code, stdout, stderr } = await asked;
    if (code !== 0) throw new Error(`exit status ${code}: ${stdout}${stderr}`);
    return stdout;
  };
  const json = async <T>(...args: readonly string[]): Promise<T> =>
    JSON.parse(await ok(cluster.kubectl("get", ...args, "-o", "json"))) as T;
  const pod = (of: string): Promise<PodView> => json<PodView>("pod", of);
  const podsOf = async (app: string): Promise<readonly PodView[]> => (await json<{ items: PodView[] }>("pods", "-l", `app=${app}`)).items;
  const firstStatus = (p: PodView): Status => p.status.containerStatuses[0] as Status;
  const inPod = (of: string, script: string): Promise<string> => ok(cluster.kubectl("exec", of, "-c", "c", "--", "sh", "-c", script));
  const service = (of: string) =>
    json<{
      spec: { clusterIP: string; ports: { nodePort: number }[] };
      status: { loadBalancer: { ingress?: { ip: string }[] } };
    }>("service", of);
  const ipOf = async (of: string): Promise<string> => (await service(of)).spec.clusterIP;
  const curl = (to: string): Promise<CommandResult> => command("curl", ["-sS", "-m", "30", to]);
  const echo = async (to: string): Promise<{ pod: string; node: string; client: string }> => JSON.parse(await ok(curl(to)));
  const hostOf = (client: string): string => client.replace(/:\d+$/, "");

  describe.concurrent("pods", () => {
    test("a failing liveness probe restarts the container, others keep it from the traffic only", async () => {
      await eventually(async () => (firstStatus(await pod("liveness")).restartCount >= 1 ? true : undefined));
      await eventually(async () => {
        const events = await ok(cluster.kubectl("get", "events", "--field-selector", "involvedObject.name=liveness"));
        return events.includes("Liveness probe failed") && events.includes("failed liveness probe, will be restarted") ? true : undefined;
      });
      const unready = firstStatus(await pod("unready"));
      expect(unready).toMatchObject({ ready: false, restartCount: 0 });
    });

    test("a startup probe holds the liveness probe back", async () => {
      const started = await eventually(async () => {
        const p = await pod("startup");
        return firstStatus(p).ready ? p : undefined;
      });
      expect(firstStatus(started).restartCount).toBe(0);
    });

    test("a container that ends is started again with back-off, and never where the policy says so", async () => {
      const crashed = await eventually(async () => {
        const status = firstStatus(await pod("crash"));
        return status.state.waiting?.reason === "CrashLoopBackOff" ? status : undefined;
      });
      expect(crashed.restartCount).toBeGreaterThanOrEqual(1);
      expect(crashed.lastState.terminated?.exitCode).toBe(3);
      const done = await eventually(async () => {
        const p = await pod("done");
        return p.status.phase === "Succeeded" ? p : undefined;
      });
      expect(firstStatus(done).restartCount).toBe(0);
      expect(await ok(cluster.kubectl("logs", "done"))).toBe("finished\n");
      const failed = await eventually(async () => {
        const p = await pod("failed");
        return p.status.phase === "Failed" ? p : undefined;
      });
      expect(firstStatus(failed)).toMatchObject({ state: { terminated: { exitCode: 4, message: expect.stringMatching(/^reason/) } } });
    });

    test("init containers in order, a sidecar started before the next and alive beside the main container", async () => {
      await ok(cluster.kubectl("wait", "pod/inits", "--for=condition=Ready", "--timeout=120s"));
      await eventually(async () => (await ok(cluster.kubectl("logs", "inits", "-c", "c"))) === "first\nsidecar\nlast\n" || undefined);
      expect(await ok(cluster.kubectl("get", "pod", "inits", "--no-headers"))).toMatch(/2\/2\s+Running/);
    });

    test("hooks: after the start, and before SIGTERM", async () => {
      await ok(cluster.kubectl("delete", "pod", "hooks", "--timeout=120s"));
      expect(readFileSync(join(folder, "hooks"), "utf8")).toBe("post\npre\nterm\n");
    });

    test("environment: values, expansion, references, the downward API, Services", async () => {
      const lines = await eventually(async () => {
        const log = await ok(cluster.kubectl("logs", "env"));
        return log.includes("args: ") ? log.split("\n") : undefined;
      });
      const { status, spec } = await pod("env");
      expect(lines).toEqual(
        expect.arrayContaining([
          "GREETING=hello world",
          "args: hello world $(GREETING) $(NOBODY)",
          "S_color=red",
          "S_size=7",
          "password=hush",
          "COLOR=red",
          "POD=env",
          "NS=default",
          "TIER=gold",
          "NOTE=hello",
          "ACCOUNT=default",
          "CPU=500",
          "MEMORY=16",
          `NODE=${spec.nodeName}`,
          `POD_IP=${status.podIP}`,
          `HOST_IP=${status.hostIP}`,
          "KUBERNETES_SERVICE_PORT=443",
          "KUBERNETES_SERVICE_HOST=10.106.0.1",
        ]),
      );
    });

    test("volumes: ConfigMap, Secret, emptyDir, hostPath, projected; a changed ConfigMap arrives, but not by subPath", async () => {
      const files = [
        "/one/deep/paint",
        "/etc/color",
        "/settings/size",
        "/keys/password",
        "/all/size",
        "/all/password",
        "/all/labels",
        "/scratch/file",
      ];
      const read = async (): Promise<string> => inPod("volumes", `cd /; for f in ${files.join(" ")}; do cat $f | tr -d '\\n'; echo; done`);
      expect((await read()).split("\n").slice(0, -1)).toEqual(["red", "red", "7", "hush", "7", "hush", 'tier="gold"', "shared"]);
      expect(
        await inPod("volumes", "stat -L -c %a /one/deep/paint /keys/password; ls /absent; echo x > /memory/x; echo made > /host/file"),
      ).toBe("400\n440\n");
      expect(readFileSync(join(folder, "made", "file"), "utf8")).toBe("made\n");
      expect(statSync(join(folder, "made")).isDirectory()).toBe(true);
      const claims = JSON.parse(Buffer.from((await inPod("volumes", "cut -d. -f2 /all/token")).trim(), "base64url").toString()) as {
        aud: string[];
      };
      expect(claims.aud).toEqual(["vault"]);
      await ok(cluster.kubectl("patch", "configmap", "settings", "-p", '{"data":{"color":"blue","size":"8"}}'));
      await eventually(async () => ((await read()).startsWith("blue\nred\n8\nhush\n8\n") ? true : undefined), {
        what: "the new ConfigMap",
      });
    });

    test("names: resolv.conf by policy, hosts with aliases, host name and subdomain", async () => {
      expect(await inPod("names", "cat /etc/resolv.conf")).toBe(
        `search ${zone} svc.cluster.local cluster.local extra.example\nnameserver 10.106.0.10\noptions ndots:2\n`,
      );
      const { podIP } = (await pod("names")).status;
      const hosts = await inPod("names", "cat /etc/hosts; hostname -f");
      expect(hosts).toContain(`${podIP}\tfirst.members.${zone}\tfirst\n`);
      expect(hosts).toContain("192.0.2.7\told.example\tolder.example\n");
      expect(hosts).toContain(`\nfirst.members.${zone}\n`);
      expect(await inPod("own-dns", "cat /etc/resolv.conf")).toBe("search only.example\nnameserver 192.0.2.53\n");
      expect(await inPod("host-dns", "cat /etc/resolv.conf")).not.toContain("10.106.0.10");
      expect((await command("dig", ["@10.106.0.10", "+short", `first.members.${zone}`])).stdout.trim()).toBe(podIP);
    });

    test("hostNetwork and hostPort", async () => {
      const [one = "", two = ""] = nodeIps;
      expect((await pod("host-network")).status).toMatchObject({ podIP: two, hostIP: two });
      expect(await echo(`http://${two}:18080/`)).toMatchObject({ pod: "host-network", node: "node-2" });
      expect(await inPod("host-network", "cat /etc/resolv.conf")).toContain("nameserver 10.106.0.10");
      expect(await echo(`http://${one}:18081/`)).toMatchObject({ pod: "host-port", node: "node-1" });
      expect(await askUdp(one, 18_081)).toBe("host-port");
      expect((await curl(`http://${two}:18081/`)).code).toBe(7);
      const fromPod = await inPod("names", `curl -sS -m 30 http://${one}:18081/`);
      expect(fromPod).toContain('"pod":"host-port"');
    });
  });

  describe.concurrent("controllers", () => {
    test("a StatefulSet starts in order, and its partition holds an update back", async () => {
      await ok(cluster.kubectl("rollout", "status", "statefulset/ordered", "--timeout=120s"));
      const pods = await Promise.all([0, 1, 2].map((i) => pod(`ordered-${i}`)));
      const at = (p: PodView | undefined, type: string): string =>
        p?.status.conditions.find((c) => c.type === type)?.lastTransitionTime ?? "";
      for (const i of [1, 2]) expect((pods[i]?.metadata.creationTimestamp ?? "") >= at(pods[i - 1], "Ready")).toBe(true);
      await ok(cluster.kubectl("set", "env", "statefulset/ordered", "NEW=1"));
      await ok(cluster.kubectl("rollout", "status", "statefulset/ordered", "--timeout=120s"));
      const after = await Promise.all([0, 1, 2].map((i) => pod(`ordered-${i}`)));
      expect(after.map((p, i) => p.metadata.uid === pods[i]?.metadata.uid)).toEqual([true, true, false]);
      const members = await command("dig", ["@10.106.0.10", "+short", `ordered-2.ordered.${zone}`]);
      expect(members.stdout.trim()).toBe(after[2]?.status.podIP);
    });

    test("a Deployment rolls, is taken back, and waits while paused", async () => {
      const version = (): Promise<string> =>
        ok(cluster.kubectl("get", "pods", "-l", "app=rolled", "-o", "jsonpath={.items[*].spec.containers[0].env[0].value}"));
      const roll = (...args: string[]): Promise<string> => ok(cluster.kubectl("rollout", ...args));
      await ok(cluster.kubectl("set", "env", "deployment/rolled", "VERSION=2"));
      await roll("status", "deployment/rolled", "--timeout=120s");
      await eventually(async () => ((await version()) === "2 2" ? true : undefined));
      await roll("undo", "deployment/rolled");
      await roll("status", "deployment/rolled", "--timeout=120s");
      await eventually(async () => ((await version()) === "1 1" ? true : undefined));
      expect(await roll("history", "deployment/rolled")).toMatch(/\n2 .*\n3 /);
      await roll("pause", "deployment/rolled");
      await ok(cluster.kubectl("set", "env", "deployment/rolled", "VERSION=3"));
      await ok(cluster.kubectl("scale", "deployment/rolled", "--replicas=3"));
      await eventually(async () => ((await version()) === "1 1 1" ? true : undefined), { what: "scaled while paused" });
      await roll("resume", "deployment/rolled");
      await eventually(async () => ((await version()) === "3 3 3" ? true : undefined), { what: "resumed" });
    });

    test("a DaemonSet has one pod a node, and a new one for one that is deleted", async () => {
      const each = await podsOf("renewed");
      expect(new Set(each.map((p) => p.spec.nodeName))).toEqual(new Set(["node-1", "node-2"]));
      expect(each).toHaveLength(2);
      const [lost] = each;
      await ok(cluster.kubectl("delete", "pod", lost?.metadata.name ?? "", "--wait=false"));
      await eventually(async () => {
        const now = (await podsOf("renewed")).filter((p) => p.metadata.uid !== lost?.metadata.uid && firstStatus(p)?.ready);
        return now.length === 2 && now.some((p) => p.spec.nodeName === lost?.spec.nodeName) ? true : undefined;
      });
    });

    test("the scheduler says why a pod waits, and places it when that changes", async () => {
      const why = async (of: string): Promise<string> =>
        eventually(async () => (await pod(of)).status.conditions.find((c) => c.type === "PodScheduled" && c.status === "False")?.message);
      expect(await why("too-big")).toContain("0/2 nodes are available: 2 Insufficient cpu.");
      expect(await why("no-node")).toContain("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
      await ok(cluster.kubectl("label", "node", "node-1", "disk=gold"));
      await ok(cluster.kubectl("wait", "pod/no-node", "--for=condition=Ready", "--timeout=120s"));
      expect((await pod("no-node")).spec.nodeName).toBe("node-1");
    });

    test("a namespace goes with all that is in it, owned objects with their owner", async () => {
      await ok(cluster.kubectl("-n", "doomed", "wait", "deployment/doomed", "--for=condition=Available", "--timeout=120s"));
      await ok(cluster.kubectl("delete", "namespace", "doomed", "--timeout=120s"));
      expect((await cluster.kubectl("get", "namespace", "doomed")).stderr).toContain("NotFound");
      const { uid } = (await pod("owner")).metadata;
      const owned = {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "owned", ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "owner", uid }] },
      };
      await ok(cluster.kubectlInput(JSON.stringify(owned), "apply", "-f", "-"));
      await ok(cluster.kubectl("delete", "pod", "owner", "--timeout=120s"));
      await eventually(async () => ((await cluster.kubectl("get", "configmap", "owned")).code === 1 ? true : undefined), {
        what: "collected",
      });
    });

    test("nodes hold leases, namespaces have their account and root CA", async () => {
      const leases = await json<{ items: { metadata: { name: string }; spec: { renewTime: string } }[] }>(
        "leases",
        "-n",
        "kube-node-lease",
      );
      expect(leases.items.map((l) => l.metadata.name).sort()).toEqual(["node-1", "node-2"]);
      for (const l of leases.items) expect(Date.now() - Date.parse(l.spec.renewTime)).toBeLessThan(40_000);
      expect(await ok(cluster.kubectl("-n", "kube-node-lease", "get", "serviceaccount/default", "configmap/kube-root-ca.crt"))).toContain(
        "default",
      );
    });
  });

  describe.concurrent("Services", () => {
    test("not-ready endpoints: only with publishNotReadyAddresses", async () => {
      expect(await echo(`http://${await ipOf("early")}/`)).toMatchObject({ pod: "unready" });
      expect((await curl(`http://${await ipOf("late")}/`)).code).toBe(7);
    });

    test("EndpointSlices and Endpoints written by hand", async () => {
      const { podIP } = (await pod("tcp")).status;
      const ports = [{ name: "http", port: 8080, protocol: "TCP" }];
      const slice = {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name: "manual-1", labels: { "kubernetes.io/service-name": "manual" } },
        addressType: "IPv4",
        ports,
        endpoints: [{ addresses: [podIP], conditions: { ready: true } }],
      };
      const legacy = {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata: { name: "mirrored" },
        subsets: [{ addresses: [{ ip: podIP }], ports }],
      };
      const list = { apiVersion: "v1", kind: "List", items: [slice, legacy] };
      await ok(cluster.kubectlInput(JSON.stringify(list), "apply", "-f", "-"));
      for (const of of ["manual", "mirrored"]) {
        const ip = await ipOf(of);
        await eventually(async () => ((await echo(`http://${ip}/`)).pod === "tcp" ? true : undefined), { what: `${of} answers` });
      }
    });

    test("session affinity keeps a client on one endpoint; without it both are used", async () => {
      const used = async (ip: string): Promise<number> =>
        new Set((await Promise.all(Array.from({ length: 16 }, () => echo(`http://${ip}/`)))).map((e) => e.pod)).size;
      const [sticky, each] = await Promise.all([ipOf("sticky"), ipOf("each")]);
      await echo(`http://${sticky}/`);
      expect(await used(sticky)).toBe(1);
      expect(await used(each)).toBe(2);
    });

    test("traffic policies: Local keeps the client's address and drops where there is no endpoint", async () => {
      const { spec } = await service("local");
      const port = spec.ports[0]?.nodePort;
      const [one = "", two = ""] = nodeIps;
      expect(hostOf((await echo(`http://${one}:${port}/`)).client)).toBe(one.replace(/\.\d+$/, ".1"));
      expect((await command("curl", ["-sS", "-m", "1", `http://${two}:${port}/`])).code).toBe(28);
      const fromNode = (index: number, seconds: number, to: string): Promise<CommandResult> =>
        command("ip", ["netns", "exec", `fw-${name}-node-${index}`, "curl", "-sS", "-m", `${seconds}`, to]);
      const only = `http://${await ipOf("on-one")}/`;
      expect((await fromNode(1, 30, only)).stdout).toContain('"pod":"host-port"');
      expect((await fromNode(2, 1, only)).code).not.toBe(0);
    });

    test("a pod reaches itself through its Service", async () => {
      const self = JSON.parse(await inPod("tcp", `curl -sS -m 30 http://self/`)) as { pod: string };
      expect(self.pod).toBe("tcp");
    });

    test("UDP, and a name for somebody else", async () => {
      expect(await askUdp(await ipOf("datagram"), 90)).toMatch(/^each-/);
      expect(await inPod("names", "curl -sS -m 30 http://elsewhere/")).toContain('"pod":"each-');
    });

    test("a LoadBalancer address comes, answers, and is given back", async () => {
      const ip = await eventually(async () => (await service("lb")).status.loadBalancer.ingress?.[0]?.ip);
      await eventually(async () => ((await echo(`http://${ip}/`)).pod.startsWith("each-") ? true : undefined));
      await ok(cluster.kubectl("patch", "service", "lb", "-p", '{"spec":{"type":"ClusterIP"}}'));
      await eventually(async () => ((await service("lb")).status.loadBalancer.ingress === undefined ? true : undefined));
      await eventually(async () => ((await command("curl", ["-sS", "-m", "1", `http://${ip}/`])).code === 0 ? undefined : true));
      const second = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "lb-2" },
        spec: { type: "LoadBalancer", loadBalancerIP: ip, ports: [{ port: 80 }] },
      };
      await ok(cluster.kubectlInput(JSON.stringify(second), "apply", "-f", "-"));
      expect(await eventually(async () => (await service("lb-2")).status.loadBalancer.ingress?.[0]?.ip)).toBe(ip);
    });

    test("a pod that leaves finishes what it has begun, and gets nothing new", async () => {
      const ip = await ipOf("leaving");
      const victim = (await podsOf("leaving"))[0] as PodView;
      const inFlight = request(`http://${victim.status.podIP}:8080/delay/1500`, { headers: { expect: "100-continue" } });
      const answered = once(inFlight, "response") as Promise<[IncomingMessage]>;
      inFlight.flushHeaders();
      // The pod has the request now.
      await once(inFlight, "continue");
      inFlight.end();
      const gone = ok(cluster.kubectl("delete", "pod", victim.metadata.name, "--timeout=120s"));
      const answers = await Promise.all(Array.from({ length: 40 }, () => curl(`http://${ip}/`)));
      expect(answers.filter((a) => a.code !== 0).map((a) => a.stderr)).toEqual([]);
      const [response] = await answered;
      expect(await consumeJson(response)).toMatchObject({ pod: victim.metadata.name });
      await gone;
    });
  });

  // Alone: the taint would keep the pods of the others away, too.
  test("a taint keeps pods away and drives them out, a toleration lets them stay", async () => {
    const args = ["--image=fairway/pause", "--overrides"];
    const overrides = (tolerations: readonly object[]): string =>
      JSON.stringify({ spec: { terminationGracePeriodSeconds: 1, nodeSelector: { "kubernetes.io/hostname": "node-2" }, tolerations } });
    await ok(cluster.kubectl("taint", "node", "node-2", "only=tests:NoExecute"));
    await ok(cluster.kubectl("run", "kept-away", ...args, overrides([])));
    await ok(cluster.kubectl("run", "let-in", ...args, overrides([{ key: "only", operator: "Exists" }])));
    await ok(cluster.kubectl("wait", "pod/let-in", "--for=condition=Ready", "--timeout=120s"));
    const message = await eventually(
      async () => (await pod("kept-away")).status.conditions.find((c) => c.type === "PodScheduled")?.message,
    );
    expect(message).toContain("1 node(s) had untolerated taint {only: tests}");
    await ok(cluster.kubectl("wait", "pod/host-network", "--for=delete", "--timeout=120s"));
    await ok(cluster.kubectl("taint", "node", "node-2", "only=tests:NoExecute-"));
    await ok(cluster.kubectl("wait", "pod/kept-away", "--for=condition=Ready", "--timeout=120s"));
  });
});

/** Sends datagrams until one is answered. */
async function askUdp(ip: string, port: number): Promise<string> {
  const socket = createSocket("udp4");
  const answer = new Promise<string>((resolve) => socket.once("message", (m) => resolve(m.toString())));
  const again = setInterval(() => socket.send("?", port, ip), 200);
  const late = new Promise<string>((resolve) => setTimeout(resolve, 30_000, "no answer"));
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearInterval(again);
    socket.close();
  }
}
