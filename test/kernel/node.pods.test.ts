import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Container, Pod } from "../../src/api/types/core-v1.generated.ts";
import { resources } from "../../src/client/resources.ts";
import { NodeLab } from "../support/node-lab.ts";
import { lacking } from "../support/requires.ts";

const sh = (...argv: string[]): string => execFileSync(argv[0] ?? "", argv.slice(1), { encoding: "utf8" });

describe.skipIf(lacking("crun", "ip", "nft", "unshare", "script", "curl") !== undefined)("pods", () => {
  const lab = new NodeLab("pods", 241);
  const curl = (url: string): string =>
    sh("curl", "-gsS", "--retry", "30", "--retry-connrefused", "--retry-delay", "0", "--max-time", "30", url);
  const isReady = (pod: Pod | undefined): boolean => pod?.status?.conditions?.find((c) => c.type === "Ready")?.status === "True";
  const shell = (name: string, script: string, more: Partial<Container> = {}): Container => ({
    name,
    image: "fairway/shell",
    command: ["sh", "-c", script],
    ...more,
  });
  const objects = [
    { path: "/api/v1/namespaces/default/configmaps", object: { metadata: { name: "settings" }, data: { "a.txt": "one", COLOR: "green" } } },
    {
      path: "/api/v1/namespaces/default/secrets",
      object: { metadata: { name: "keys" }, data: { token: Buffer.from("s3cret").toString("base64") } },
    },
    {
      path: "/api/v1/namespaces/default/services",
      object: { metadata: { name: "kubernetes" }, spec: { clusterIP: "10.243.0.1", ports: [{ name: "https", port: 443 }] } },
    },
  ];
  const outside = join(lab.dataDir, "outside");

  beforeAll(async () => {
    const imagesFile = join(lab.dataDir, "images.yaml");
    mkdirSync(outside);
    writeFileSync(join(outside, "greet"), "#!/bin/sh\necho greetings $1; id -u\n", { mode: 0o755 });
    writeFileSync(
      imagesFile,
      `images: [{match: "*/greet:*", files: {/bin/greet: ${join(outside, "greet")}}, entrypoint: [/bin/greet], cmd: [nobody], user: 65534}]`,
    );
    await lab.start({ imagesFile }, objects);
  });
  afterAll(() => lab.close());

  const remove = (name: string) => lab.client.delete(resources.pods, { namespace: "default", name });
  const logOf = async (pod: string, container: string, query = ""): Promise<string> =>
    (await lab.nodeRequest(`/containerLogs/default/${pod}/${container}?${query}`)).body;

  test("a pod runs, answers, and is deleted without a trace", async () => {
    await lab.createPod("one", { containers: [{ name: "echo", image: "fairway/echo" }] });
    const pod = await lab.until("one", isReady);
    expect(pod?.status).toMatchObject({ phase: "Running", podIP: "10.242.0.2", hostIP: "10.241.0.11", qosClass: "BestEffort" });
    expect(JSON.parse(curl("http://10.242.0.2:8080/hello"))).toMatchObject({
      pod: "one",
      namespace: "default",
      node: "node-1",
      path: "/hello",
    });
    await remove("one");
    await lab.until("one", (p) => p === undefined);
    await expect.poll(() => readdirSync(`${lab.dataDir}/nodes/node-1/pods`)).toEqual([]);
    await expect
      .poll(() => lab.events())
      .toEqual([
        'Pulled: Container image "fairway/echo" already present on machine',
        "Created: Created container: echo",
        "Started: Started container echo",
        "Killing: Stopping container echo",
      ]);
    expect(sh("ip", "netns")).not.toContain(pod?.metadata?.uid);
  });

  test("environment, volumes, /etc and the root are as the pod says", async () => {
    const script = [
      'echo "$COLOR $(cat /etc/config/a.txt) $(cat /etc/keys/token) $POD $IP $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT $GREETING"',
      "cat /etc/resolv.conf | tr '\\n' ' '; echo; hostname; getent hosts friend | tr -s ' '",
      "ls -A /root /home /tmp | tr '\\n' ' '; echo; cat /etc/shadow 2>&1; touch /here && echo wrote; touch /etc/config/x 2>&1 | tail -c 22",
      "cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo; grep -i nonewprivs /proc/1/status; cat /scratch/from-init",
    ].join("; ");
    await lab.createPod("two", {
      initContainers: [shell("first", "echo made > /scratch/from-init", { volumeMounts: [{ name: "scratch", mountPath: "/scratch" }] })],
      containers: [
        shell("main", `${script}; sleep 300`, {
          envFrom: [{ configMapRef: { name: "settings" } }],
          env: [
            { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
            { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
            { name: "GREETING", value: "hi-$(POD)-$(NOPE)" },
          ],
          volumeMounts: [
            { name: "config", mountPath: "/etc/config" },
            { name: "keys", mountPath: "/etc/keys/token", subPath: "token" },
            { name: "scratch", mountPath: "/scratch" },
            { name: "account", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" },
            { name: "about", mountPath: "/about" },
          ],
        }),
      ],
      hostAliases: [{ ip: "192.0.2.7", hostnames: ["friend"] }],
      volumes: [
        { name: "config", configMap: { name: "settings" } },
        { name: "keys", secret: { secretName: "keys" } },
        { name: "scratch", emptyDir: {} },
        { name: "account", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } },
        { name: "about", downwardAPI: { items: [{ path: "notes", fieldRef: { fieldPath: "metadata.annotations['notes']" } }] } },
      ],
    });
    const pod = await lab.until("two", isReady);
    await expect.poll(() => logOf("two", "main")).toContain("made");
    const lines = (await logOf("two", "main")).split("\n");
    expect(lines[0]).toBe(`green one s3cret two ${pod?.status?.podIP} 10.243.0.1:443 hi-two-$(NOPE)`);
    expect(lines[1]).toContain("search default.svc.cluster.local svc.cluster.local cluster.local");
    expect(lines[1]).toContain("nameserver 10.243.0.10 options ndots:5");
    expect(lines.slice(2, 4)).toEqual(["two", "192.0.2.7 friend"]);
    expect(lines[4]).toBe("/home:  /root:  /tmp: ");
    expect(lines[5]).toContain("No such file");
    expect(lines.slice(6, 8)).toEqual(["wrote", "Read-only file system"]);
    expect(lines.slice(8)).toEqual(["token-for-default", "NoNewPrivs:\t1", "made", ""]);

    // A changed ConfigMap reaches the running container.
    const at = { namespace: "default", name: "settings" };
    await lab.client.patch(resources.configMaps, at, { type: "merge", body: { data: { "a.txt": "another" } } });
    const read = (): string => execIn("two", "cat", "/etc/config/a.txt");
    await expect.poll(read).toBe("another");
    // So does what changes in the pod itself.
    const notes = { metadata: { annotations: { notes: "changed" } } };
    await lab.client.patch(resources.pods, { namespace: "default", name: "two" }, { type: "merge", body: notes });
    await expect.poll(() => execIn("two", "cat", "/about/notes")).toBe("changed");
    await lab.client.delete(resources.pods, { namespace: "default", name: "two" }, { gracePeriodSeconds: 0 });
  });

  /** By the runtime itself, beside the node's API. */
  function execIn(pod: string, ...argv: string[]): string {
    const root = join(lab.dataDir, "nodes", "node-1", "crun");
    const id = readdirSync(root).find((name) => sh("cat", join(root, name, "config.json")).includes(`"hostname":"${pod}"`)) ?? "none";
    const hide = '! [ -d /sys/fs/cgroup/unified ] || umount -l /sys/fs/cgroup/unified; exec "$@"';
    return sh("unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh", "crun", `--root=${root}`, "exec", id, ...argv);
  }

  test("restarts back off, a pod that may end ends, and its last words are kept", async () => {
    await lab.createPod("crash", { containers: [shell("c", "echo going; echo bye > /dev/termination-log; exit 3")] });
    const crashed = await lab.until("crash", (p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff");
    expect(crashed?.status?.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      state: { waiting: { message: `back-off 10s restarting failed container=c pod=crash_default(${crashed?.metadata?.uid})` } },
      lastState: { terminated: { exitCode: 3, reason: "Error", message: "bye" } },
    });
    expect(await logOf("crash", "c", "previous=true&timestamps=true")).toMatch(/^\d{4}-\S+Z going\n$/);
    await lab.createPod("job", { restartPolicy: "Never", containers: [shell("ok", "exit 0"), shell("bad", "sleep 0.2; exit 4")] });
    const job = await lab.until("job", (p) => p?.status?.phase === "Failed");
    expect(job?.status?.containerStatuses?.map((c) => c.state?.terminated?.exitCode)).toEqual([0, 4]);
    await lab.createPod("nothing", { containers: [{ name: "x", image: "example.com/unknown:1" }] });
    const nothing = await lab.until("nothing", (p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "ErrImagePull");
    expect(nothing?.status?.containerStatuses?.[0]?.state?.waiting?.message).toBe(
      `image "example.com/unknown:1" is not built in, and it is not in the images file ${join(lab.dataDir, "images.yaml")}`,
    );
    await lab.createPod("absent", { containers: [shell("x", "true", { command: ["/no/such"] })] });
    const absent = await lab.until("absent", (p) => p?.status?.containerStatuses?.[0]?.lastState?.terminated !== undefined);
    expect(absent?.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({ exitCode: 128, reason: "StartError" });
    await lab.createPod("greet", { restartPolicy: "Never", containers: [{ name: "g", image: "example.com/greet:2", args: ["you"] }] });
    await lab.until("greet", (p) => p?.status?.phase === "Succeeded");
    expect(await logOf("greet", "g")).toBe("greetings you\n65534\n");
    for (const name of ["crash", "job", "nothing", "absent", "greet"]) await remove(name);
    for (const name of ["crash", "job", "nothing", "absent", "greet"]) await lab.until(name, (p) => p === undefined);
  });

  test("probes decide about readiness and restarts", async () => {
    const exec = (...command: string[]) => ({ exec: { command }, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1 });
    await lab.createPod("probed", {
      containers: [
        shell("c", "sleep 300", { readinessProbe: exec("test", "-e", "/ready"), livenessProbe: exec("test", "!", "-e", "/dead") }),
        { name: "web", image: "fairway/echo", startupProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1 } },
      ],
      terminationGracePeriodSeconds: 1,
    });
    await lab.until("probed", (p) => p?.status?.containerStatuses?.[1]?.ready === true);
    expect((await lab.pod("probed"))?.status?.containerStatuses?.[0]?.ready).toBe(false);
    execIn("probed", "touch", "/ready");
    await lab.until("probed", isReady);
    execIn("probed", "touch", "/dead");
    await lab.until("probed", (p) => p?.status?.containerStatuses?.[0]?.restartCount === 1);
    await expect.poll(() => lab.events()).toContain("Killing: Container c failed liveness probe, will be restarted");
    expect((await lab.events()).some((e) => e.startsWith("Unhealthy: Readiness probe failed"))).toBe(true);
    await remove("probed");
    await lab.until("probed", (p) => p === undefined);
  });

  test("a deleted pod gets its hooks and its grace", async () => {
    const hooks = {
      postStart: { exec: { command: ["sh", "-c", "echo started > /proc/1/fd/1"] } },
      preStop: { exec: { command: ["sh", "-c", "echo stopping > /proc/1/fd/1"] } },
    };
    await lab.createPod("hooked", {
      containers: [shell("c", "trap 'echo term; sleep 1; exit 0' TERM; while :; do sleep 0.05; done", { lifecycle: hooks })],
    });
    await lab.until("hooked", isReady);
    const log = logOf("hooked", "c", "follow=true");
    await remove("hooked");
    await lab.until("hooked", (p) => p === undefined);
    expect(await log).toBe("started\nstopping\nterm\n");
    await lab.createPod("deaf", { containers: [shell("c", "trap '' TERM; while :; do sleep 1; done")], terminationGracePeriodSeconds: 1 });
    await lab.until("deaf", isReady);
    const begun = Date.now();
    await lab.client.delete(resources.pods, { namespace: "default", name: "deaf" });
    await lab.client.patch(
      resources.pods,
      { namespace: "default", name: "deaf" },
      { type: "merge", body: { metadata: { deletionGracePeriodSeconds: 1 } } },
    );
    await lab.until("deaf", (p) => p === undefined);
    // Not the 30 s that are the default.
    expect(Date.now() - begun).toBeLessThan(20_000);
  });

  interface Streamed {
    readonly stdout: string;
    readonly stderr: string;
    readonly status: { readonly status: string; readonly details?: { readonly causes: readonly { readonly message: string }[] } };
  }

  /** Runs a stream to its end; `act` is called with a way to send once it is open. */
  async function stream(path: string, act: (send: (channel: number, text: string) => void) => void = () => undefined): Promise<Streamed> {
    const socket = lab.openStream(path);
    const parts: Record<number, string> = {};
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.on("message", (data: Buffer) => {
      parts[data[0] ?? 0] = (parts[data[0] ?? 0] ?? "") + data.subarray(1).toString();
    });
    socket.on("open", () => act((channel, text) => socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text, "latin1")]))));
    socket.on("close", () => resolve());
    socket.on("error", reject);
    await promise;
    return { stdout: parts[1] ?? "", stderr: parts[2] ?? "", status: JSON.parse(parts[3] ?? "{}") as Streamed["status"] };
  }

  test("the node's API: logs, exec with and without a terminal, for the API server only", async () => {
    await lab.createPod("api", { containers: [shell("c", "for i in 1 2 3; do echo line $i; done; echo oops >&2; sleep 300")] });
    await lab.until("api", isReady);
    await expect.poll(() => logOf("api", "c")).toContain("oops");
    expect(await logOf("api", "c", "tailLines=2")).toBe("line 3\noops\n");
    expect(await logOf("api", "c", "limitBytes=6")).toBe("line 1");
    expect(await logOf("api", "c", "sinceTime=2030-01-01T00:00:00Z")).toBe("");
    expect(await lab.nodeRequest("/containerLogs/default/api/c?tailLines=x")).toMatchObject({ status: 400 });
    expect(JSON.parse((await lab.nodeRequest("/containerLogs/default/api/c?previous=true")).body)).toMatchObject({
      message: 'previous terminated container "c" in pod "api" not found',
    });
    await expect(lab.nodeRequest("/healthz", { client: "none" })).rejects.toThrow();

    const exec = "/exec/default/api/c?stdout=true&stderr=true";
    const command = (...argv: string[]): string => argv.map((a) => `&command=${encodeURIComponent(a)}`).join("");
    const ended = await stream(`${exec}${command("sh", "-c", "echo out; echo err >&2; exit 5")}`);
    expect(ended).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      status: { status: "Failure", details: { causes: [{ message: "5" }] } },
    });
    const piped = await stream(`${exec}&stdin=true${command("wc", "-c")}`, (send) => {
      send(0, "12345");
      send(255, "\0");
    });
    expect(piped).toMatchObject({ stdout: "5\n", status: { status: "Success" } });
    const typed = await stream(`/exec/default/api/c?stdin=true&stdout=true&tty=true${command("sh")}`, (send) => {
      send(4, JSON.stringify({ Width: 90, Height: 33 }));
      send(0, "stty size; exit 7\n");
    });
    expect(typed.stdout).toContain("33 90");
    expect(typed.status.details?.causes[0]?.message).toBe("7");
    // What clients older than kubectl 1.31, and those in browsers, speak: the end is told in words, and only if it failed.
    const spoken = async (path: string, protocol: string): Promise<readonly string[]> => {
      const socket = lab.openStream(path, protocol);
      const messages: string[] = [];
      socket.on("message", (data: Buffer) => void messages.push(data.toString("latin1")));
      await new Promise((resolve, reject) => void socket.once("close", resolve).once("error", reject));
      return messages;
    };
    expect(await spoken(`${exec}${command("echo", "out")}`, "channel.k8s.io")).toEqual(["\x01", "\x01out\n"]);
    expect(await spoken(`${exec}${command("false")}`, "channel.k8s.io")).toEqual([
      "\x01",
      "\x03command terminated with non-zero exit code: exit status 1",
    ]);
    const [first] = await spoken(`${exec}${command("echo", "out")}`, "v5.channel.k8s.io");
    expect(first).toBe("\x01out\n");
    expect((await spoken("/containerLogs/default/api/c?tailLines=2", "binary.k8s.io")).join("")).toBe("line 3\noops\n");
    await expect(spoken("/containerLogs/default/api/c?tailLines=x", "binary.k8s.io")).rejects.toThrow(/400/);
    await lab.client.delete(resources.pods, { namespace: "default", name: "api" }, { gracePeriodSeconds: 0 });
  });

  test("a killed agent loses no container and no line; what was deleted meanwhile is removed", async () => {
    const tick = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";
    await lab.createPod("stays", { containers: [shell("c", tick)] });
    await lab.createPod("ends", { restartPolicy: "Never", containers: [shell("c", "until [ -e /go ]; do sleep 0.05; done; exit 9")] });
    const before = await lab.until("stays", isReady);
    await lab.until("ends", isReady);
    const ends = await lab.pod("ends");
    await lab.kill();
    execIn("ends", "touch", "/go");
    const ended = join(lab.dataDir, "nodes/node-1/pods", ends?.metadata?.uid ?? "", "containers/c/0/exit");
    await expect.poll(() => existsSync(ended)).toBe(true);
    const kept = (pod: Pod | undefined) => ({
      path: "/api/v1/namespaces/default/pods",
      object: { metadata: { name: pod?.metadata?.name, uid: pod?.metadata?.uid }, spec: pod?.spec, status: pod?.status },
    });
    await lab.start({}, [...objects, kept(before), kept(ends)]);
    const pidOf = () => sh("cat", join(lab.dataDir, "nodes/node-1/pods", before?.metadata?.uid ?? "", "containers/c/0/pid"));
    const pid = pidOf();
    const after = await lab.until("stays", isReady);
    expect(after?.status?.containerStatuses?.[0]).toMatchObject({
      restartCount: 0,
      containerID: before?.status?.containerStatuses?.[0]?.containerID,
    });
    expect(after?.status?.podIP).toBe(before?.status?.podIP);
    const failed = await lab.until("ends", (p) => p?.status?.phase === "Failed");
    expect(failed?.status?.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(9);
    await expect.poll(async () => (await logOf("stays", "c")).split("\n").length).toBeGreaterThan(20);
    expect(pidOf()).toBe(pid);
    const numbers = (await logOf("stays", "c")).trim().split("\n").map(Number);
    expect(numbers).toEqual(numbers.map((_, i) => i + 1));

    await lab.kill();
    await lab.start({}, objects);
    await expect.poll(() => readdirSync(`${lab.dataDir}/nodes/node-1/pods`)).toEqual([]);
  });

  test("a volume in memory: of its size, shared by the pod, the same for the next agent, gone with the pod", async () => {
    const mount = { volumeMounts: [{ name: "fast", mountPath: "/fast" }] };
    await lab.createPod("memory", {
      initContainers: [shell("first", "echo kept > /fast/kept", mount)],
      containers: [
        shell(
          "small",
          "df --output=fstype,size -k /fast | tail -1; head -c 3M /dev/zero > /fast/much 2>/dev/null || echo full; rm /fast/much; sleep 300",
          mount,
        ),
        shell("other", "cat /fast/kept; sleep 300", mount),
      ],
      volumes: [{ name: "fast", emptyDir: { medium: "Memory", sizeLimit: "2Mi" } }],
    });
    const pod = await lab.until("memory", isReady);
    await expect.poll(() => logOf("memory", "small")).toMatch(/^tmpfs +2048\nfull\n$/);
    await expect.poll(() => logOf("memory", "other")).toBe("kept\n");
    const mounted = (): boolean => readFileSync("/proc/self/mountinfo", "utf8").includes(pod?.metadata?.uid ?? "-");
    expect(mounted()).toBe(true);
    await lab.kill();
    await lab.start({}, [...objects, { path: "/api/v1/namespaces/default/pods", object: pod ?? {} }]);
    await lab.until("memory", isReady);
    await remove("memory");
    await lab.until("memory", (p) => p === undefined);
    await expect.poll(mounted).toBe(false);
  });

  test("a host port leads to its pod until the pod is gone; limits are the kernel's", async () => {
    const port = { containerPort: 8080, hostPort: 18080 };
    const limits = { cpu: "100m", memory: "256Mi" };
    await lab.createPod("ported", { containers: [{ name: "echo", image: "fairway/echo", ports: [port], resources: { limits } }] });
    const pod = await lab.until("ported", isReady);
    expect(JSON.parse(curl(`http://${lab.ip}:18080/`))).toMatchObject({ pod: "ported" });
    const inNode = (...argv: string[]): string => sh("ip", "netns", "exec", lab.netns, ...argv);
    expect(JSON.parse(inNode("curl", "-sS", `http://${lab.ip}:18080/`))).toMatchObject({ podIP: pod?.status?.podIP });
    expect(execIn("ported", "sh", "-c", "cat /proc/1/cgroup")).toContain(`${pod?.metadata?.uid}-echo-0`);
    await lab.client.delete(resources.pods, { namespace: "default", name: "ported" }, { gracePeriodSeconds: 0 });
    await expect.poll(() => inNode("nft", "list", "tables")).not.toContain("hostports");
  });

  test("a pod on its node's network has the node's address and ports", async () => {
    await lab.createPod("onhost", {
      hostNetwork: true,
      dnsPolicy: "ClusterFirstWithHostNet",
      containers: [{ name: "echo", image: "fairway/echo", env: [{ name: "PORT", value: "9123" }] }],
    });
    const pod = await lab.until("onhost", isReady);
    expect(pod?.status?.podIP).toBe(lab.ip);
    expect(JSON.parse(curl(`http://${lab.ip}:9123/`))).toMatchObject({ pod: "onhost" });
    expect(execIn("node-1", "cat", "/etc/resolv.conf")).toContain("nameserver 10.243.0.10");
    await lab.client.delete(resources.pods, { namespace: "default", name: "onhost" }, { gracePeriodSeconds: 0 });
    await lab.until("onhost", (p) => p === undefined);
  });
});
