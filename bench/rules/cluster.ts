import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Client, createClient } from "../../src/client/client.ts";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { resources } from "../../src/client/resources.ts";
import { createHttpTransport } from "../../src/client/transport.ts";
import { fairwayBinary } from "../../test/support/cluster-process.ts";
import { nodeAddress, podRange, serviceRange } from "./namespaces.ts";
import { listeners, servicePort } from "./prober.ts";

/** Services whose one endpoint is changed and watched; they are among the others in every list. */
export const probed = 20;
const parallel = 32;
const apiPort = 7135;

export const probedIp = (i: number): string => `10.135.250.${i + 1}`;
export const serviceIp = (i: number): string => `10.135.${(i >> 8) + 1}.${i & 255}`;

/** Our API server with Services and slices, and nobody else who would write. */
export class BenchCluster {
  readonly #process: ChildProcess;
  readonly #close: () => void;
  readonly kubeconfig: string;
  readonly client: Client;
  readonly services: number;
  readonly endpoints: number;

  private constructor(process: ChildProcess, kubeconfig: string, of: { readonly services: number; readonly endpoints: number }) {
    const transport = createHttpTransport(loadKubeconfig({ path: kubeconfig }));
    this.#process = process;
    this.#close = () => transport.close();
    this.kubeconfig = kubeconfig;
    this.client = createClient(transport);
    this.services = of.services;
    this.endpoints = of.endpoints;
  }

  static async start(dir: string, of: { readonly services: number; readonly endpoints: number }): Promise<BenchCluster> {
    const kubeconfig = join(dir, "kubeconfig");
    const args = ["apiserver", "--data-dir", join(dir, "data"), "--secure-port", String(apiPort), "--kubeconfig-out", kubeconfig];
    const more = ["--service-cluster-ip-range", serviceRange, "--advertise-address", nodeAddress, "--log-level", "error"];
    const child = spawn(fairwayBinary, [...args, ...more], { stdio: ["ignore", "ignore", "inherit"] });
    try {
      while (!isWhole(kubeconfig)) {
        if (child.exitCode !== null) throw new Error(`the API server ended with ${child.exitCode}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const cluster = new BenchCluster(child, kubeconfig, of);
      await cluster.#fill();
      return cluster;
    } catch (error) {
      child.kill("SIGTERM");
      throw error;
    }
  }

  async #fill(): Promise<void> {
    for (;;) {
      try {
        await this.client.get(resources.namespaces, { name: "default" });
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    await this.client.create(resources.nodes, { metadata: { name: "n" }, spec: { podCIDR: podRange, podCIDRs: [podRange] } });
    const status = { addresses: [{ type: "InternalIP", address: nodeAddress }] };
    await this.client.patch(resources.nodes, { name: "n" }, { type: "merge", body: { status } }, { subresource: "status" });
    const service = (name: string, clusterIP: string) =>
      this.client.create(resources.services, {
        metadata: { name, namespace: "default" },
        spec: { clusterIP, ports: [{ name: "http", port: servicePort, targetPort: servicePort }] },
      });
    const every = Math.max(1, Math.floor(this.services / probed));
    await inParallel(this.services, async (i) => {
      await service(nameOf(i), serviceIp(i));
      await this.client.create(resources.endpointSlices, this.#slice(nameOf(i), this.#endpointsOf(i, 0)));
      if (i % every !== 0 || i / every >= probed) return;
      const p = i / every;
      await service(`p-${p}`, probedIp(p));
      await this.client.create(resources.endpointSlices, this.#slice(`p-${p}`, [listeners[0]]));
    });
  }

  /** Sends a probed Service to the other listener. */
  async probe(i: number, listener: 0 | 1): Promise<void> {
    await this.#endpoints(`p-${i}`, [listeners[listener]]);
  }

  /** Another first endpoint. */
  async change(i: number, version: number): Promise<void> {
    await this.#endpoints(nameOf(i), this.#endpointsOf(i, version));
  }

  async inParallel(n: number, work: (i: number) => Promise<unknown>): Promise<void> {
    await inParallel(n, work);
  }

  #endpointsOf(i: number, version: number): readonly string[] {
    return Array.from({ length: this.endpoints }, (_, j) => {
      const n = i * this.endpoints + j;
      return j === 0 && version > 0
        ? `11.${200 + (version % 50)}.${(i >> 8) & 255}.${i & 255}`
        : `11.${(n >> 16) & 127}.${(n >> 8) & 255}.${n & 255}`;
    });
  }

  async #endpoints(name: string, ips: readonly string[]): Promise<void> {
    const at = { namespace: "default", name: `${name}-1` };
    await this.client.patch(resources.endpointSlices, at, { type: "merge", body: { endpoints: this.#slice(name, ips).endpoints } });
  }

  #slice(name: string, ips: readonly string[]): EndpointSlice {
    return {
      metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ name: "http", port: servicePort, protocol: "TCP" }],
      endpoints: ips.map((ip) => ({ addresses: [ip], nodeName: "m", conditions: { ready: true, serving: true, terminating: false } })),
    };
  }

  async stop(): Promise<void> {
    this.#close();
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    await ended;
  }
}

/** It may be read while it is written. */
function isWhole(kubeconfig: string): boolean {
  try {
    loadKubeconfig({ path: kubeconfig });
    return true;
  } catch {
    return false;
  }
}

function nameOf(i: number): string {
  return `s-${String(i).padStart(5, "0")}`;
}

async function inParallel(n: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (next < n) await work(next++);
    }),
  );
}
