import { execFileSync, spawnSync } from "node:child_process";

/** Where the rules and everything else is, who opens connections, and who serves them. */
export interface Namespaces {
  readonly node: string;
  readonly client: string;
  readonly endpoints: string;
}
export const namespacesOf = (prefix: string): Namespaces => ({ node: `${prefix}-n`, client: `${prefix}-c`, endpoints: `${prefix}-e` });

export const nodeAddress = "192.0.2.1";
/** The client is a pod of the node: nothing is masqueraded. */
export const clientAddress = "12.0.0.2";
export const podRange = "12.0.0.0/24";
export const serviceRange = "10.135.0.0/16";

export function makeNamespaces(names: Namespaces): void {
  ip(
    undefined,
    Object.values(names).map((n: string) => `netns add ${n}`),
  );
  ip(undefined, [
    `link add client netns ${names.node} type veth peer name eth0 netns ${names.client}`,
    `link add endpoints netns ${names.node} type veth peer name eth0 netns ${names.endpoints}`,
  ]);
  execFileSync("ip", ["netns", "exec", names.node, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
  ip(names.node, [
    "link set dev lo up",
    "link set dev client up",
    "link set dev endpoints up",
    `addr add ${nodeAddress}/32 dev lo`,
    "addr add 12.0.0.1/24 dev client",
    "addr add 12.0.1.1/24 dev endpoints",
    "route add 11.0.0.0/8 via 12.0.1.2",
  ]);
  ip(names.client, [
    "link set dev lo up",
    "link set dev eth0 up",
    `addr add ${clientAddress}/24 dev eth0`,
    "route add default via 12.0.0.1",
  ]);
  // every address of the endpoints' range is answered
  ip(names.endpoints, [
    "link set dev lo up",
    "link set dev eth0 up",
    "addr add 12.0.1.2/24 dev eth0",
    "route add local 11.0.0.0/8 dev lo",
    "route add default via 12.0.1.1",
  ]);
}

export function removeNamespaces(names: Namespaces): void {
  for (const name of Object.values(names) as readonly string[]) spawnSync("ip", ["netns", "delete", name], { stdio: "ignore" });
}

/** Whether this namespace takes packets to addresses of Services for its own, as a proxy in user space needs it. */
export function ownServices(own: boolean): void {
  const args = ["route", own ? "replace" : "delete", "local", serviceRange, "dev", "lo"];
  if (own) execFileSync("ip", args);
  else spawnSync("ip", args, { stdio: "ignore" });
}

/** Takes all rules out of this namespace, whoever made them. */
export function flushRules(): void {
  spawnSync("nft", ["flush", "ruleset"], { stdio: "ignore" });
  for (const program of ["iptables-legacy-restore", "ip6tables-legacy-restore"])
    for (const table of ["raw", "mangle", "nat", "filter"])
      spawnSync(program, [], { input: `*${table}\nCOMMIT\n`, stdio: ["pipe", "ignore", "ignore"] });
  // where there is no ipvs these say so to nobody
  spawnSync("ipvsadm", ["-C"], { stdio: "ignore" });
  spawnSync("ip", ["link", "delete", "kube-ipvs0"], { stdio: "ignore" });
  spawnSync("ipset", ["destroy"], { stdio: "ignore" });
  spawnSync("conntrack", ["-F"], { stdio: "ignore" });
  ownServices(false);
}

function ip(namespace: string | undefined, lines: readonly string[]): void {
  const args = [...(namespace === undefined ? [] : ["-n", namespace]), "-batch", "-"];
  execFileSync("ip", args, { input: `${lines.join("\n")}\n`, stdio: ["pipe", "ignore", "inherit"] });
}
