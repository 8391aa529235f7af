import { execFileSync, spawnSync } from "node:child_process";
import { Worker } from "node:worker_threads";
import { inNetns } from "./in-netns.ts";

/** Address plan of the lab. `a` and `b` are nodes; pods `a1`, `a2` on `a`, `b1`, `b2` on `b`. */
export const labAddresses = {
  client: { 4: "172.31.7.100", 6: "fd31:7::100" },
  client2: { 4: "172.31.7.101", 6: "fd31:7::101" },
  a: { 4: "172.31.7.1", 6: "fd31:7::1" },
  /** A second address of node `a`. */
  aSecond: { 4: "172.31.7.11", 6: "fd31:7::11" },
  b: { 4: "172.31.7.2", 6: "fd31:7::2" },
  a1: { 4: "10.244.1.2", 6: "fd44:1::2" },
  a2: { 4: "10.244.1.3", 6: "fd44:1::3" },
  b1: { 4: "10.244.2.2", 6: "fd44:2::2" },
  b2: { 4: "10.244.2.3", 6: "fd44:2::3" },
} as const;
export const labPodCidrs = { a: ["10.244.1.0/24", "fd44:1::/64"], b: ["10.244.2.0/24", "fd44:2::/64"] } as const;
/** Routed from the client and node `b` to node `a`: cluster IPs, external and load balancer IPs. */
export const labServiceRoutes = ["10.96.0.0/16", "198.51.100.0/24", "fd96::/112", "fd98::/112"] as const;

export type Place = "client" | "a" | "b" | "a1" | "a2" | "b1" | "b2";
const places: readonly Place[] = ["client", "a", "b", "a1", "a2", "b1", "b2"];

/** What became of a stream of exchanges. */
export interface Traffic {
  readonly answers: number;
  /** The longest wait for an answer. */
  readonly slowestMs: number;
  /** Exchanges without an answer, ends of the connection, answers by another endpoint than the first. */
  readonly faults: readonly string[];
}

/** Of a stream of exchanges. */
export interface Pace {
  /** The pause between two; default 5. */
  readonly everyMs?: number;
  /** What is not answered within this time was lost; default 10,000. */
  readonly timeoutMs?: number;
}

/** A thread in a namespace that serves and probes. */
export class ProbeAgent {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 1;
  readonly ready: Promise<void>;

  constructor(namespace: string) {
    const program = import.meta.url.endsWith(".ts") ? "./probe-agent.worker.ts" : "./probe-agent.worker.mjs";
    this.#thread = new Worker(new URL(program, import.meta.url), { name: `probe-${namespace}`, workerData: { namespace } });
    this.ready = this.#answer(0).then(() => undefined);
    this.#thread.on("message", ({ id, value }: { readonly id: number; readonly value: unknown }) => {
      this.#waiting.get(id)?.resolve(value);
      this.#waiting.delete(id);
    });
    this.#thread.once("error", (error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  ask(request: Readonly<Record<string, unknown>>): Promise<unknown> {
    const id = this.#next++;
    const answer = this.#answer(id);
    this.#thread.postMessage({ id, ...request });
    return answer;
  }

  #answer(id: number): Promise<unknown> {
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    return waiting.promise;
  }

  /** What each of `count` new connections (or packets) got: `name source`, `reject`, `drop`. Ends early at a drop. */
  async probe(request: {
    readonly protocol: "tcp" | "udp";
    readonly host: string;
    readonly port: number;
    readonly count?: number;
    readonly localAddress?: string;
    readonly timeoutMs?: number;
  }): Promise<readonly string[]> {
    return (await this.ask({ do: "probe", ...request })) as readonly string[];
  }

  /** Opens a connection (or a UDP socket) that stays; `say` sends on it and tells what came back. */
  async hold(request: { readonly protocol: "tcp" | "udp"; readonly host: string; readonly port: number }): Promise<{
    readonly said: string;
    say(): Promise<string>;
    release(): Promise<void>;
  }> {
    const { hold, said } = (await this.ask({ do: "hold", ...request })) as { readonly hold: number; readonly said: string };
    return {
      said,
      say: async () => (await this.ask({ do: "say", hold })) as string,
      release: async () => void (await this.ask({ do: "release", hold })),
    };
  }

  /** Traffic without a pause, one exchange after the other, until `end` tells what became of it. */
  async stream(
    request: Pace & {
      /** One connection (UDP: one socket) for all, or a new one for each exchange. */
      readonly kind: "held" | "fresh";
      readonly protocol: "tcp" | "udp";
      readonly host: string;
      readonly port: number;
    },
  ): Promise<{ end(): Promise<Traffic> }> {
    const stream = (await this.ask({ do: "stream", ...request })) as number;
    return { end: async () => (await this.ask({ do: "end-stream", stream })) as Traffic };
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }
}

/** Two nodes with two pods each and a client on one wire, IPv4 and IPv6, each a network namespace. */
export class RulesLab {
  readonly prefix: string;
  readonly agents: Readonly<Record<Place, ProbeAgent>>;

  private constructor(prefix: string, agents: Readonly<Record<Place, ProbeAgent>>) {
    this.prefix = prefix;
    this.agents = agents;
  }

  namespace(place: Place): string {
    return `${this.prefix}-${place}`;
  }

  static async start(name: string): Promise<RulesLab> {
    const prefix = `fwt-${name}-${process.pid}`;
    try {
      ip(
        undefined,
        [...places, "wire"].map((place) => `netns add ${prefix}-${place}`),
      );
      for (const place of places) inNetns(`${prefix}-${place}`, () => execFileSync("sysctl", ["-q", "-w", ...settingsOf(place)]));
      const { links, inside } = labCommands(prefix);
      ip(undefined, links);
      // in this order, so that a link's other end is up first
      for (const place of ["wire", "a", "b", "client", "a1", "a2", "b1", "b2"] as const) ip(`${prefix}-${place}`, inside.get(place) ?? []);
      const agents = Object.fromEntries(places.map((p) => [p, new ProbeAgent(`${prefix}-${p}`)])) as Record<Place, ProbeAgent>;
      await Promise.all(Object.values(agents).map((a) => a.ready));
      for (const pod of ["a1", "a2", "b1", "b2"] as const) {
        for (const host of Object.values(labAddresses[pod])) await agents[pod].ask({ do: "serve", name: pod, host, port: 8080 });
      }
      return new RulesLab(prefix, agents);
    } catch (error) {
      removeNamespaces(prefix);
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.agents).map((a) => a.close()));
    removeNamespaces(this.prefix);
  }

  /** Runs a command in a place's namespace; its stdout. */
  run(place: Place, command: string, args: readonly string[]): string {
    return inNetns(this.namespace(place), () =>
      execFileSync(command, args, {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
  }
}

/** In a namespace, or in the caller's: one process, for a process costs more than what it does. */
function ip(namespace: string | undefined, lines: readonly string[]): void {
  const args = [...(namespace === undefined ? [] : ["-n", namespace]), "-batch", "-"];
  execFileSync("ip", args, { input: `${lines.join("\n")}\n`, stdio: ["pipe", "ignore", "pipe"] });
}

function settingsOf(place: Place): readonly string[] {
  // link-local addresses must be usable at once, so links made later get no duplicate detection
  const settings = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"];
  if (place !== "a" && place !== "b") return settings;
  return [
    ...settings,
    // many refusals a second are asked for here, more than ICMP's limits let out
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.icmp.ratelimit=0",
    "net.ipv4.icmp_msgs_per_sec=100000",
    "net.ipv4.icmp_msgs_burst=10000",
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
  ];
}

function removeNamespaces(prefix: string): void {
  // one that was not made is passed over
  const input = [...places, "wire"].map((place) => `netns delete ${prefix}-${place}\n`).join("");
  spawnSync("ip", ["-force", "-batch", "-"], { input, stdio: ["pipe", "ignore", "ignore"] });
}

/** Links between namespaces, and what is said in each. */
function labCommands(prefix: string): { readonly links: readonly string[]; readonly inside: ReadonlyMap<string, readonly string[]> } {
  const ns = (place: string): string => `${prefix}-${place}`;
  const links: string[] = [];
  const lines = new Map<string, string[]>();
  const inside = (place: string, ...args: readonly string[]): void => {
    lines.set(place, [...(lines.get(place) ?? []), args.join(" ")]);
  };
  for (const place of places) inside(place, "link", "set", "lo", "up");
  inside("wire", "link", "add", "br0", "type", "bridge");
  inside("wire", "link", "set", "br0", "up");
  const address = (place: string, link: string, of: { readonly 4: string; readonly 6: string }, bits: readonly [number, number]): void => {
    inside(place, "addr", "add", `${of[4]}/${bits[0]}`, "dev", link);
    inside(place, "addr", "add", `${of[6]}/${bits[1]}`, "dev", link, "nodad");
  };
  for (const place of ["client", "a", "b"] as const) {
    links.push(`link add eth0 netns ${ns(place)} type veth peer name ${place} netns ${ns("wire")}`);
    inside("wire", "link", "set", "dev", place, "master", "br0", "up");
    inside(place, "link", "set", "eth0", "up");
    address(place, "eth0", labAddresses[place], [24, 64]);
  }
  address("client", "eth0", labAddresses.client2, [24, 64]);
  address("a", "eth0", labAddresses.aSecond, [24, 64]);
  for (const node of ["a", "b"] as const) {
    for (const pod of [`${node}1`, `${node}2`] as const) {
      const of = labAddresses[pod as "a1"];
      links.push(`link add eth0 netns ${ns(pod)} type veth peer name ${pod} netns ${ns(node)}`);
      inside(node, "link", "set", "dev", pod, "up");
      inside(pod, "link", "set", "eth0", "up");
      address(pod, "eth0", of, [32, 128]);
      inside(node, "route", "add", `${of[4]}/32`, "dev", pod);
      inside(node, "route", "add", `${of[6]}/128`, "dev", pod);
      inside(pod, "route", "add", labAddresses[node][4], "dev", "eth0");
      inside(pod, "route", "add", "default", "via", labAddresses[node][4]);
      // neighbour discovery answers for addresses of the receiving link only, so the gateway is a link-local one
      inside(node, "addr", "add", "fe80::1/64", "dev", pod, "nodad");
      inside(pod, "route", "add", "default", "via", "fe80::1", "dev", "eth0");
    }
    const other = node === "a" ? "b" : "a";
    inside(node, "route", "add", labPodCidrs[other][0], "via", labAddresses[other][4]);
    inside(node, "route", "add", labPodCidrs[other][1], "via", labAddresses[other][6]);
  }
  for (const place of ["client", "b"] as const) {
    for (const route of labServiceRoutes) inside(place, "route", "add", route, "via", labAddresses.a[route.includes(":") ? 6 : 4]);
  }
  // the node itself needs a route for its own packets to be translated on the way out
  for (const route of labServiceRoutes) inside("a", "route", "add", route, "via", labAddresses.b[route.includes(":") ? 6 : 4]);
  return { links, inside: lines };
}
