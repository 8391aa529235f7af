import { type Ip, parseIp } from "../base/ip.ts";
import { type RunCommand, runOrThrow } from "./command.ts";
import { KernelError } from "./errors.ts";

/** One change of links, addresses or routes. `address` and `to` are `ip/bits`; the default routes are 0.0.0.0/0 and ::/0. */
export type LinkStep =
  | { readonly kind: "netns-add"; readonly name: string }
  | { readonly kind: "bridge-add"; readonly name: string }
  /** A link of its own that leads nowhere; it stays down. */
  | { readonly kind: "dummy-add"; readonly name: string }
  | { readonly kind: "veth-add"; readonly name: string; readonly peer: string; readonly peerNetns: string }
  | { readonly kind: "link-up"; readonly name: string }
  | { readonly kind: "link-master"; readonly name: string; readonly master: string }
  | { readonly kind: "link-delete"; readonly name: string }
  | { readonly kind: "address-delete"; readonly link: string; readonly address: string }
  | { readonly kind: "address-add"; readonly link: string; readonly address: string; readonly scope?: "host" }
  | {
      readonly kind: "route-add";
      readonly to: string;
      readonly via?: string;
      readonly link?: string;
      /** The source address for packets this machine sends there. */
      readonly source?: string;
    }
  | { readonly kind: "route-delete"; readonly to: string };

/** One line of `ip -batch`. Adding what is there already changes nothing; IPv6 addresses are usable at once (nodad). */
export function printLinkStep(step: LinkStep): string {
  switch (step.kind) {
    case "netns-add":
      return `netns add ${step.name}`;
    case "bridge-add":
      return `link add name ${step.name} type bridge`;
    case "dummy-add":
      return `link add name ${step.name} type dummy`;
    case "address-delete":
      return `address delete ${step.address} dev ${step.link}`;
    case "veth-add":
      return `link add name ${step.name} type veth peer name ${step.peer} netns ${step.peerNetns}`;
    case "link-up":
      return `link set dev ${step.name} up`;
    case "link-master":
      return `link set dev ${step.name} master ${step.master}`;
    case "link-delete":
      return `link delete dev ${step.name}`;
    case "address-add":
      return `address replace ${step.address} dev ${step.link}${step.scope === undefined ? "" : ` scope ${step.scope}`}${step.address.includes(":") ? " nodad" : ""}`;
    case "route-add":
      return [
        `route replace ${step.to}`,
        step.via === undefined ? "" : `via ${step.via}`,
        step.link === undefined ? "" : `dev ${step.link}`,
        step.source === undefined ? "" : `src ${step.source}`,
      ]
        .filter((part) => part !== "")
        .join(" ");
    case "route-delete":
      return `route delete ${step.to}`;
  }
}

export interface LinkStepOptions {
  /** The name of a network namespace below /run/netns; default: the caller's. */
  readonly netns?: string;
  /** Goes on after a step that failed, and does not fail: for removing what may be gone. */
  readonly force?: true;
}

/** Runs the steps in order in one process. Throws a `command-failed` KernelError at the first that fails. */
export async function runLinkSteps(
  run: RunCommand,
  steps: readonly LinkStep[],
  options: LinkStepOptions = {},
  signal?: AbortSignal,
): Promise<void> {
  if (steps.length === 0) return;
  const argv = [
    "ip",
    ...(options.netns === undefined ? [] : ["-netns", options.netns]),
    ...(options.force ? ["-force"] : []),
    "-batch",
    "-",
  ];
  const input = `${steps.map(printLinkStep).join("\n")}\n`;
  if (options.force) await run(argv, { input }, signal);
  else await runOrThrow(run, argv, { input }, signal);
}

export interface KernelRoute {
  readonly to: string;
  readonly link: string;
}

/** All unicast routes of the caller's namespace in both families, local addresses among them, but not `default`. */
export async function readRoutes(run: RunCommand, signal?: AbortSignal): Promise<readonly KernelRoute[]> {
  const routes: KernelRoute[] = [];
  for (const family of ["-4", "-6"]) {
    const { stdout } = await runOrThrow(run, ["ip", family, "-json", "route", "show", "table", "all"], {}, signal);
    for (const route of JSON.parse(stdout === "" ? "[]" : stdout) as readonly { type?: string; dst?: string; dev?: string }[]) {
      if (route.dst === undefined || route.dst === "default") continue;
      if (route.type === "broadcast" || route.type === "multicast" || route.type === "anycast") continue;
      routes.push({ to: route.dst, link: route.dev ?? "" });
    }
  }
  return routes;
}

export interface KernelLink {
  readonly name: string;
  /** `bridge`, `veth`, `dummy`…; empty for hardware. */
  readonly kind: string;
  /** The bridge that it is a port of. */
  readonly master?: string;
}

/** The links in the caller's namespace. */
export async function readLinks(run: RunCommand, signal?: AbortSignal): Promise<readonly KernelLink[]> {
  const { stdout } = await runOrThrow(run, ["ip", "-details", "-json", "link", "show"], {}, signal);
  const links = JSON.parse(stdout === "" ? "[]" : stdout) as readonly {
    readonly ifname: string;
    readonly master?: string;
    readonly linkinfo?: { readonly info_kind?: string };
  }[];
  return links.map(({ ifname, master, linkinfo }) => ({
    name: ifname,
    kind: linkinfo?.info_kind ?? "",
    ...(master === undefined ? {} : { master }),
  }));
}

/** Addresses of a link, without link-local ones; undefined when there is no such link. */
export async function readLinkAddresses(run: RunCommand, link: string, signal?: AbortSignal): Promise<readonly Ip[] | undefined> {
  const { code, stdout, stderr } = await run(["ip", "-json", "address", "show", "dev", link], {}, signal);
  if (code !== 0) {
    if (/does not exist/.test(stderr)) return undefined;
    throw new KernelError("command-failed", `ip address show dev ${link} ended with ${code}: ${stderr.trim()}`);
  }
  const links = JSON.parse(stdout === "" ? "[]" : stdout) as readonly {
    readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
  }[];
  return links.flatMap((l) => (l.addr_info ?? []).flatMap((a) => (a.scope === "link" ? [] : (parseIp(a.local ?? "") ?? []))));
}
