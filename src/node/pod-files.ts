import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Container, Pod, Service } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Client } from "../client/client.ts";
import { resources } from "../client/resources.ts";
import type { ContainerPlan } from "./container-plan.ts";
import type { DownwardContext } from "./downward.ts";
import { NodeError } from "./errors.ts";
import { findImage, type ImageEntry } from "./images.ts";
import { findUser, readText } from "./node-machine.ts";
import type { ObjectWatches } from "./object-watches.ts";
import { type ClusterDns, podDns, podHostname, printHostNetworkHosts, printHosts, printResolvConf } from "./pod-dns.ts";
import { compileContainer } from "./pod-plan.ts";
import { podReferences } from "./pod-references.ts";
import type { PodRuntime } from "./pod-runtime.ts";
import { TokenCache } from "./token-cache.ts";
import { emptyDirMode, layVolume, subPathOf } from "./volume-files.ts";
import { compileVolume, type TokenWish, tokenWishes, type VolumePlan } from "./volume-plan.ts";

export interface PodFilesDeps {
  readonly runtime: PodRuntime;
  readonly client: Client;
  readonly watches: ObjectWatches;
  readonly images: readonly ImageEntry[];
  readonly clock: Clock;
  services(): readonly Service[];
  /** Where a Service's port is served, when not at itself. */
  readonly servedPort: ((port: number) => number) | undefined;
  /** A Warning on the pod. */
  warn(pod: Pod, reason: string, message: string): void;
  readonly nodeName: string;
  readonly nodeIps: readonly Ip[];
  readonly allocatable: Readonly<Record<string, string>>;
  readonly imagesFile: string | undefined;
  readonly dns: ClusterDns;
}

/** The last words that a status has room for. */
const maxMessage = 4096;

/** What pods find on their disks: volumes, /etc, termination logs; and, from it, the plan of a container. */
export class PodFiles {
  readonly #deps: PodFilesDeps;
  readonly #tokens: TokenCache;
  /** Pods that were told that they have no memory volumes. */
  readonly #toldOnDisk = new Set<string>();
  #stamp = 0;

  constructor(deps: PodFilesDeps) {
    this.#deps = deps;
    this.#tokens = new TokenCache(deps.clock, async (pod, wish, signal) => this.#requestToken(pod, wish, signal));
  }

  /** Before containers start: references looked up, tokens fetched, volumes and /etc laid. Rejects with `pod-config`. */
  async prepare(pod: Pod, ips: readonly Ip[], signal: AbortSignal): Promise<void> {
    const { uid = "", namespace = "default" } = pod.metadata ?? {};
    await this.#deps.watches.use(uid, namespace, podReferences(pod), signal);
    await Promise.all(tokenWishes(pod).map((wish) => this.#tokens.fetch(pod, wish, signal, () => this.refresh(pod, ips))));
    this.#layEtc(pod, ips);
    for (const plan of this.#layVolumes(pod, ips)) if (plan.kind === "memory") await this.#mountMemory(pod, plan, signal);
  }

  /** After a change of what volumes show. */
  async refresh(pod: Pod, ips: readonly Ip[]): Promise<void> {
    if (ips.length === 0 || !existsSync(this.#etc(pod))) return;
    this.#layVolumes(pod, ips);
  }

  forget(podUid: string): void {
    this.#toldOnDisk.delete(podUid);
    this.#tokens.forget(podUid);
  }

  async close(): Promise<void> {
    this.#tokens.close();
  }

  /** Throws `image-missing` or `pod-config`. */
  plan(pod: Pod, container: Container, attempt: number, ips: readonly Ip[]): ContainerPlan {
    const { dns, images, imagesFile, runtime } = this.#deps;
    const name = container.image ?? "";
    const image = findImage(name, images);
    if (image === undefined) {
      const file = imagesFile === undefined ? "there is no images file (--images)" : `it is not in the images file ${imagesFile}`;
      throw new NodeError("image-missing", `image "${name}" is not built in, and ${file}`);
    }
    const uid = pod.metadata?.uid ?? "";
    const { volumes } = runtime.folders(uid);
    const terminationLog = this.#terminationLog(pod, container, attempt);
    mkdirSync(join(terminationLog, ".."), { recursive: true });
    writeFileSync(terminationLog, "");
    chmodSync(terminationLog, 0o666);
    const root = image.root === "host" ? "" : image.root.folder;
    const etc = this.#etc(pod);
    return compileContainer(pod, container, {
      image,
      attempt,
      hostname: pod.spec?.hostNetwork === true ? this.#deps.nodeName : podHostname(pod, dns.domain).hostname,
      services: this.#deps.services(),
      servedPort: this.#deps.servedPort,
      sources: this.#sources(pod),
      context: this.#context(ips),
      volumes: new Map((pod.spec?.volumes ?? []).map((v) => [v.name, v.hostPath === undefined ? join(volumes, v.name) : v.hostPath.path])),
      etc: { hosts: join(etc, "hosts"), resolvConf: join(etc, "resolv.conf"), hostname: join(etc, "hostname") },
      terminationLog,
      resolveUser: (user) => findUser(user, readText(join(root, "/etc/passwd")), readText(join(root, "/etc/group"))),
      subPath: subPathOf,
    });
  }

  /** The container's termination message; with `FallbackToLogsOnError` and a failure, the end of its log. */
  terminationMessage(pod: Pod, container: Container, attempt: number, failed: boolean): string {
    const written = readText(this.#terminationLog(pod, container, attempt));
    if (written !== "" || !failed || container.terminationMessagePolicy !== "FallbackToLogsOnError") return written.slice(0, maxMessage);
    const { logs } = this.#deps.runtime.folders(pod.metadata?.uid ?? "");
    const lines = readText(join(logs, container.name, `${attempt}.log`))
      .split("\n")
      .slice(-80);
    return lines
      .map((line) => line.split(" ").slice(3).join(" "))
      .join("\n")
      .slice(-2048);
  }

  async #mountMemory(pod: Pod, { name, bytes }: Extract<VolumePlan, { kind: "memory" }>, signal: AbortSignal): Promise<void> {
    const { runtime } = this.#deps;
    const { uid = "", name: podName = "" } = pod.metadata ?? {};
    const group = pod.spec?.securityContext?.fsGroup;
    const folder = join(runtime.folders(uid).volumes, name);
    let mounted: boolean;
    try {
      mounted = await runtime.mountMemory({ folder, bytes, group, mode: emptyDirMode(group) }, signal);
    } catch (error) {
      signal.throwIfAborted();
      const message = error instanceof Error ? error.message : String(error);
      throw new NodeError("pod-config", `volume "${name}" : ${message}`, error);
    }
    if (mounted || this.#toldOnDisk.has(uid)) return;
    this.#toldOnDisk.add(uid);
    const message = `volume "${name}" of pod ${podName} is a folder on the disk: without mounts there is none in memory (medium: Memory)`;
    this.#deps.warn(pod, "NoMemoryVolume", message);
  }

  #layVolumes(pod: Pod, ips: readonly Ip[]): readonly VolumePlan[] {
    const { volumes } = this.#deps.runtime.folders(pod.metadata?.uid ?? "");
    const given = {
      sources: this.#sources(pod),
      context: this.#context(ips),
      token: (wish: TokenWish): string => this.#tokens.get(pod.metadata?.uid ?? "", wish),
    };
    return (pod.spec?.volumes ?? []).map((volume) => {
      try {
        const plan = compileVolume(pod, volume, given);
        layVolume(plan, volumes, this.#nextStamp(), pod.spec?.securityContext?.fsGroup);
        return plan;
      } catch (error) {
        if (error instanceof NodeError) throw new NodeError("pod-config", `volume "${volume.name}" : ${error.message}`, error);
        throw error;
      }
    });
  }

  #layEtc(pod: Pod, ips: readonly Ip[]): void {
    const { dns } = this.#deps;
    const folder = this.#etc(pod);
    mkdirSync(folder, { recursive: true });
    const hostFile = pod.spec?.hostNetwork === true;
    const files = {
      hosts: hostFile ? printHostNetworkHosts(pod, readRaw("/etc/hosts")) : printHosts(pod, ips, dns.domain),
      "resolv.conf": printResolvConf(podDns(pod, dns)),
      hostname: `${podHostname(pod, dns.domain).hostname}\n`,
    };
    for (const [name, text] of Object.entries(files)) {
      // Written in place: a container has the file itself mounted, not its name.
      if (readRaw(join(folder, name)) !== text) writeFileSync(join(folder, name), text, { mode: 0o644 });
    }
  }

  #sources(pod: Pod): {
    configMap(name: string): ReturnType<ObjectWatches["configMap"]>;
    secret(name: string): ReturnType<ObjectWatches["secret"]>;
  } {
    const namespace = pod.metadata?.namespace ?? "default";
    return {
      configMap: (name) => this.#deps.watches.configMap(namespace, name),
      secret: (name) => this.#deps.watches.secret(namespace, name),
    };
  }

  #context(podIps: readonly Ip[]): DownwardContext {
    const { nodeName, nodeIps, allocatable } = this.#deps;
    return { nodeName, hostIps: nodeIps, podIps, allocatable };
  }

  async #requestToken(pod: Pod, wish: TokenWish, signal: AbortSignal): Promise<{ readonly token: string; readonly expiresAt: number }> {
    const { namespace = "default", name = "", uid = "" } = pod.metadata ?? {};
    const spec = {
      audiences: wish.audience === "" ? [] : [wish.audience],
      expirationSeconds: wish.expirationSeconds,
      boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
    };
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", metadata: {}, spec };
    const account = pod.spec?.serviceAccountName ?? "default";
    const at = { namespace, name: account };
    let answer: unknown;
    try {
      answer = await this.#deps.client.subresource(resources.serviceAccounts, at, "token", { method: "POST", body }, signal);
    } catch (error) {
      signal.throwIfAborted();
      const message = error instanceof Error ? error.message : String(error);
      throw new NodeError("pod-config", `volume "${wish.volume}" : failed to fetch token: ${message}`, error);
    }
    const status = (answer as { readonly status?: { readonly token?: string; readonly expirationTimestamp?: string } }).status ?? {};
    return { token: status.token ?? "", expiresAt: Date.parse(status.expirationTimestamp ?? "") };
  }

  #etc(pod: Pod): string {
    return join(this.#deps.runtime.folders(pod.metadata?.uid ?? "").pod, "etc");
  }

  #terminationLog(pod: Pod, container: Container, attempt: number): string {
    return join(this.#etc(pod), "termination", `${container.name}-${attempt}`);
  }

  #nextStamp(): string {
    return `${this.#deps.clock.now()}-${this.#stamp++}`;
  }
}

function readRaw(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
