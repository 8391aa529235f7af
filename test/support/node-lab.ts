import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { get as httpsGet } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import WebSocket from "ws";
import type { Pod } from "../../src/api/types/core-v1.generated.ts";
import { ensurePki, type Pki } from "../../src/apiserver/pki.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import { type Client, createClient } from "../../src/client/client.ts";
import { resources } from "../../src/client/resources.ts";
import type { ApiRequest, Transport } from "../../src/client/transport.ts";
import { runCommand } from "../../src/kernel/command.ts";
import { netnsPath } from "../../src/kernel/netns.ts";
import { removeNodePods } from "../../src/node/cleanup.ts";
import { createMachines, type MachineDeps, type Machines } from "../../src/node/machines.ts";

export interface LabConfig {
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly dataDir: string;
  readonly distFolder: string;
  readonly imagesFile: string | undefined;
  readonly api: { readonly port: number; readonly caPem: string; readonly certPem: string; readonly keyPem: string };
  readonly objects: readonly { readonly path: string; readonly object: object }[];
}
export type LabRequest = { readonly id: number } & (
  | {
      readonly kind: "api";
      readonly method: ApiRequest["method"];
      readonly path: string;
      readonly body: string;
      readonly headers: Record<string, string>;
    }
  | { readonly kind: "stopPods"; readonly graceSeconds: number }
  | { readonly kind: "close" }
);
export interface LabReply {
  readonly id: number;
  readonly status: number;
  readonly body: string;
}

/** One machine with an agent on it, and an API in memory inside the agent's process. */
export class NodeLab {
  readonly dataDir: string;
  readonly client: Client;
  readonly #name: string;
  readonly #net: number;
  readonly #deps: MachineDeps;
  #pki: Pki | undefined;
  #machines: Machines | undefined;
  #child: ChildProcess | undefined;
  #serial = 0;
  readonly #waiting = new Map<number, (reply: LabReply) => void>();

  constructor(name: string, net: number) {
    this.#name = name;
    this.#net = net;
    // Not below /tmp: an overlay's upper layer cannot lie on every file system that /tmp may be. Without root the lab is never started.
    this.dataDir = process.getuid?.() === 0 ? mkdtempSync(`/var/lib/fw-lab-${name}-`) : "";
    this.#deps = { run: runCommand, recordFolder: join(tmpdir(), `fw-lab-${name}`) };
    this.client = createClient(this.#transport());
  }

  get netns(): string {
    return `fw-${this.#name}-node-1`;
  }

  async start(options: { readonly imagesFile?: string } = {}, objects: LabConfig["objects"] = []): Promise<void> {
    if (this.#machines === undefined) await this.#sweep();
    const range = (text: string) => [parseCidr(text) ?? { ip: "", bits: 0, family: 4 as const }];
    this.#machines ??= await createMachines(
      {
        name: this.#name,
        nodeNames: ["node-1"],
        nodeRanges: range(`10.${this.#net}.0.0/24`),
        podRanges: range(`10.${this.#net + 1}.0.0/16`),
        serviceRanges: range(`10.${this.#net + 2}.0.0/16`),
        loadBalancerRanges: [],
        clusterDns: [`10.${this.#net + 2}.0.10`],
      },
      this.#deps,
    );
    const node = { metadata: { name: "node-1" }, spec: { podCIDRs: [`10.${this.#net + 1}.0.0/24`] } };
    const config: LabConfig = {
      nodeName: "node-1",
      nodeIps: this.#machines.machines[0]?.ips ?? [],
      dataDir: join(this.dataDir, "nodes", "node-1"),
      distFolder: await this.#buildPrograms(),
      imagesFile: options.imagesFile,
      api: await this.#issueCertificates(this.#machines.machines[0]?.ips ?? []),
      objects: [{ path: "/api/v1/nodes", object: node }, ...objects],
    };
    const program = join(import.meta.dirname, "node-lab.program.ts");
    const child = spawn("nsenter", [`--net=${netnsPath(this.netns)}`, process.execPath, program, JSON.stringify(config)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child = child;
    child.setMaxListeners(0);
    const ready = new Promise<void>((resolve, reject) => {
      this.#waiting.set(0, () => resolve());
      child.once("exit", (code) => reject(new Error(`the agent ended with ${code}`)));
    });
    child.on("message", (reply: LabReply) => {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
    await ready;
  }

  /** The pods of runs that were themselves killed; createMachines removes their machine. */
  async #sweep(): Promise<void> {
    for (const entry of readdirSync("/var/lib")) {
      const folder = join("/var/lib", entry);
      if (!entry.startsWith(`fw-lab-${this.#name}-`) || folder === this.dataDir) continue;
      await removeNodePods(join(folder, "nodes", "node-1"));
      rmSync(folder, { recursive: true, force: true });
    }
  }

  async createPod(name: string, spec: Pod["spec"], metadata: Pod["metadata"] = {}): Promise<Pod> {
    return this.client.create(resources.pods, {
      metadata: { namespace: "default", name, ...metadata },
      spec: { nodeName: "node-1", ...spec },
    });
  }

  async pod(name: string): Promise<Pod | undefined> {
    return this.client.get(resources.pods, { namespace: "default", name }).catch(() => undefined);
  }

  /** Polls until the pod is as wanted (`undefined`: gone); fails with its last state. */
  async until(name: string, wanted: (pod: Pod | undefined) => boolean, ms = 60_000): Promise<Pod | undefined> {
    for (const end = Date.now() + ms; ; ) {
      const pod = await this.pod(name);
      if (wanted(pod)) return pod;
      if (Date.now() > end) throw new Error(`pod ${name} is not as wanted: ${JSON.stringify(pod?.status, undefined, 1)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async events(): Promise<readonly string[]> {
    const { items } = await this.client.list(resources.events);
    return items.map((e) => `${e.reason}: ${e.message}`);
  }

  async stopPods(graceSeconds: number): Promise<void> {
    await this.#ask({ kind: "stopPods", graceSeconds });
  }

  /** Ends the agent in order; its pods run on. Returns the addresses whose endpoints it waited for. */
  async stop(): Promise<readonly string[]> {
    const reply = await this.#ask({ kind: "close" });
    await this.#ended();
    return JSON.parse(reply.body) as readonly string[];
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#ended();
  }

  async close(): Promise<void> {
    if (this.#child !== undefined) await this.kill();
    await removeNodePods(join(this.dataDir, "nodes", "node-1"));
    await this.#machines?.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** As the bundle has them, but of what the sources say now. */
  async #buildPrograms(): Promise<string> {
    const outdir = join(this.dataDir, "dist");
    const root = join(import.meta.dirname, "..", "..");
    await build({
      entryPoints: { "echo.program": join(root, "src/node/images/echo.program.ts") },
      outdir,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      format: "esm",
      platform: "node",
      banner: { js: "import { createRequire as __c } from 'node:module'; const require = __c(import.meta.url);" },
    });
    return outdir;
  }

  /** A request to the node's API, as the API server sends it. */
  async nodeRequest(path: string, options: { readonly client?: "none" } = {}): Promise<{ readonly status: number; readonly body: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
    const request = httpsGet(`https://${this.ip}:10250${path}`, { ...this.#tls(options.client), agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (d: Buffer) => chunks.push(d));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    return promise;
  }

  openStream(path: string, protocol = "v5.channel.k8s.io"): WebSocket {
    return new WebSocket(`wss://${this.ip}:10250${path}`, protocol, { ...this.#tls() });
  }

  get ip(): string {
    return `10.${this.#net}.0.11`;
  }

  #tls(client?: "none"): { readonly ca?: string; readonly cert?: string; readonly key?: string } {
    const pki = this.#pki;
    if (pki === undefined) return {};
    return client === "none" ? { ca: pki.caPem } : { ca: pki.caPem, cert: pki.nodeClient.certPem, key: pki.nodeClient.keyPem };
  }

  async #issueCertificates(ips: readonly string[]): Promise<LabConfig["api"]> {
    this.#pki ??= await ensurePki(join(this.dataDir, "pki"), { dnsNames: [], ips: [] });
    const serving = await this.#pki.issueServerCert("node-1", ips);
    return { port: 10250, caPem: this.#pki.caPem, certPem: serving.certPem, keyPem: serving.keyPem };
  }

  async #ended(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise((resolve) => child.once("exit", resolve));
  }

  #ask(
    request: { kind: "stopPods"; graceSeconds: number } | { kind: "close" } | Omit<Extract<LabRequest, { kind: "api" }>, "id">,
  ): Promise<LabReply> {
    const id = ++this.#serial;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, resolve);
      this.#child?.once("exit", () => reject(new Error("the agent has ended")));
      this.#child?.send({ id, ...request }, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  #transport(): Transport {
    return {
      request: async (r) => {
        const body = typeof r.body === "string" ? r.body : r.body === undefined ? "" : Buffer.from(r.body).toString();
        const reply = await this.#ask({ kind: "api", method: r.method, path: r.path, body, headers: { ...r.headers } });
        return {
          status: reply.status,
          headers: {},
          body: (async function* () {
            yield Buffer.from(reply.body);
          })(),
        };
      },
    };
  }
}
