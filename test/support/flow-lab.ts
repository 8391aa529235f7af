import { execFileSync, spawnSync } from "node:child_process";
import { ProbeAgent } from "./rules-lab.ts";

/** `outside` has every address that is given; `inside` has all addresses of the ranges of pods, and serves. */
type Place = "node" | "outside" | "inside";
const places: readonly Place[] = ["node", "outside", "inside"];

/** Ways through the node: links and what is behind them. */
const links = {
  outside: { 4: ["172.31.9.1", "172.31.9.2"], 6: ["fd31:9::1", "fd31:9::2"] },
  inside: { 4: ["172.31.10.1", "172.31.10.2"], 6: ["fd31:10::1", "fd31:10::2"] },
} as const;

export interface FlowLabOptions {
  readonly nodeIps: readonly string[];
  /** Ranges all of whose addresses are endpoints. */
  readonly endpoints: readonly string[];
  readonly port: number;
  /** Who sends, pods or not: anything but the node's own addresses. */
  readonly senders: readonly string[];
}

/** A node between those who send to Services and those who serve, for any addresses: three network namespaces. */
export class FlowLab {
  readonly #prefix: string;
  readonly #options: FlowLabOptions;
  readonly #agents: Readonly<Record<Place, ProbeAgent>>;
  readonly #more = new Set<string>();

  private constructor(prefix: string, options: FlowLabOptions, agents: Readonly<Record<Place, ProbeAgent>>) {
    this.#prefix = prefix;
    this.#options = options;
    this.#agents = agents;
  }

  static async start(name: string, options: FlowLabOptions): Promise<FlowLab> {
    const prefix = `fwt-${name}-${process.pid}`;
    try {
      ip(
        undefined,
        places.map((place) => `netns add ${prefix}-${place}`),
      );
      for (const place of places) execFileSync("ip", ["netns", "exec", `${prefix}-${place}`, "sysctl", "-q", "-w", ...settingsOf(place)]);
      ip(undefined, [`link add outside netns ${prefix}-node type veth peer name eth0 netns ${prefix}-outside`]);
      ip(undefined, [`link add inside netns ${prefix}-node type veth peer name eth0 netns ${prefix}-inside`]);
      for (const place of places) ip(`${prefix}-${place}`, commandsOf(place, options));
      const agents = Object.fromEntries(places.map((p) => [p, new ProbeAgent(`${prefix}-${p}`)])) as Record<Place, ProbeAgent>;
      await Promise.all(Object.values(agents).map((a) => a.ready));
      await agents.inside.ask({ do: "serve", host: "::", port: options.port });
      return new FlowLab(prefix, options, agents);
    } catch (error) {
      removeNamespaces(prefix);
      throw error;
    }
  }

  get node(): string {
    return `${this.#prefix}-node`;
  }

  isNode(ip: string): boolean {
    return ip === "::1" || ip.startsWith("127.") || this.#options.nodeIps.includes(ip) || this.#more.has(ip);
  }

  sends(ip: string): boolean {
    return this.isNode(ip) || this.#options.senders.includes(ip);
  }

  /** Does work while the node has one more address. */
  async withAddress(address: string, work: () => Promise<void>): Promise<void> {
    ip(this.node, [`addr add ${address}/32 dev lo`]);
    this.#more.add(address);
    try {
      await work();
    } finally {
      ip(this.node, [`addr del ${address}/32 dev lo`]);
      this.#more.delete(address);
    }
  }

  /** Addresses by which the node itself is seen. */
  get nodeAddresses(): readonly string[] {
    return [...this.#options.nodeIps, ...this.#more, ...Object.values(links).flatMap((link) => [link[4][0], link[6][0]])];
  }

  /** What each of `count` new connections got: `endpoint sender`, `reject`, `drop`. The node sends where the sender is its own. */
  probe(
    flow: { readonly from: string; readonly to: string; readonly port: number },
    count: number,
    timeoutMs: number,
  ): Promise<readonly string[]> {
    const agent = this.isNode(flow.from) ? this.#agents.node : this.#agents.outside;
    return agent.probe({ protocol: "tcp", host: flow.to, port: flow.port, localAddress: flow.from, count, timeoutMs });
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#agents).map((a) => a.close()));
    removeNamespaces(this.#prefix);
  }
}

/** In a namespace, or in the caller's. */
function ip(namespace: string | undefined, lines: readonly string[]): void {
  const args = [...(namespace === undefined ? [] : ["-n", namespace]), "-batch", "-"];
  execFileSync("ip", args, { input: `${lines.join("\n")}\n`, stdio: ["pipe", "ignore", "pipe"] });
}

function removeNamespaces(prefix: string): void {
  const input = places.map((place) => `netns delete ${prefix}-${place}\n`).join("");
  spawnSync("ip", ["-force", "-batch", "-"], { input, stdio: ["pipe", "ignore", "ignore"] });
}

function settingsOf(place: Place): readonly string[] {
  const settings = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"];
  if (place !== "node") return settings;
  return [
    ...settings,
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.icmp.ratelimit=0",
    "net.ipv4.icmp_msgs_per_sec=100000",
    "net.ipv4.icmp_msgs_burst=10000",
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    // node ports on localhost
    "net.ipv4.conf.all.route_localnet=1",
  ];
}

function commandsOf(place: Place, options: FlowLabOptions): readonly string[] {
  const host = (address: string): string => `${address}/${address.includes(":") ? "128 nodad" : "32"}`;
  const family = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);
  const link = (name: "outside" | "inside", end: 0 | 1, dev: string): readonly string[] => [
    `addr add ${links[name][4][end]}/24 dev ${dev}`,
    `addr add ${links[name][6][end]}/64 dev ${dev} nodad`,
    `link set dev ${dev} up`,
  ];
  const defaults = (name: "outside" | "inside", end: 0 | 1, dev: string): readonly string[] => [
    `route add default via ${links[name][4][end]} dev ${dev}`,
    `route add ::/0 via ${links[name][6][end]} dev ${dev}`,
  ];
  if (place === "node") {
    return [
      "link set dev lo up",
      ...link("outside", 0, "outside"),
      ...link("inside", 0, "inside"),
      ...options.nodeIps.map((address) => `addr add ${host(address)} dev lo`),
      ...options.endpoints.map((range) => `route add ${range} via ${links.inside[family(range)][1]} dev inside`),
      ...options.senders.map((sender) => `route add ${sender} via ${links.outside[family(sender)][1]} dev outside`),
      // the node itself needs a route for its own packets to be translated on the way out
      ...defaults("outside", 1, "outside"),
    ];
  }
  const addresses =
    place === "outside"
      ? options.senders.map((sender) => `addr add ${host(sender)} dev eth0`)
      : options.endpoints.map((range) => `route add local ${range} dev lo`);
  return ["link set dev lo up", ...link(place, 1, "eth0"), ...addresses, ...defaults(place, 0, "eth0")];
}
