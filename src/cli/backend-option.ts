import type { ProxyConfiguration } from "../../rules/config/proxy-configuration.ts";
import { type Backend, backends } from "../../rules/model/backend.ts";
import type { NodeStatus } from "./cluster-status.ts";
import { askDaemon } from "./daemons.ts";
import { usageError } from "./errors.ts";
import type { Asked } from "./question.ts";

/** What was asked for; `all` is every one. Throws a usage error with the list of what there is. */
export function parseBackends(asked: string | undefined): readonly Backend[] | undefined {
  if (asked === undefined) return undefined;
  if (asked === "all") return backends;
  const found = backends.find((b) => b === asked);
  if (found === undefined) throw usageError(`--backend ${asked}: there are ${backends.join(", ")}`);
  return [found];
}

/** What a node's daemon says that it has in use; undefined when it does not say. */
export async function backendInUse(node: NodeStatus): Promise<Backend | undefined> {
  const said = (await askDaemon(node, "/proxyMode"))?.trim();
  return backends.find((b) => b === said);
}

/**
 * The one that a configuration named on the command line names, else the one that the running node has in use, else the one that it
 * was told; where nobody says, nftables.
 */
export async function backendOf(
  asked: Asked,
  node: string,
  { configured, named }: { readonly configured?: ProxyConfiguration | undefined; readonly named: boolean },
  remark: (text: string) => void,
): Promise<Backend> {
  const byFile = backends.find((b) => b === configured?.mode);
  if (named && byFile !== undefined) return byFile;
  const status = asked.cluster?.status;
  const machine = status?.nodes.find((n) => n.name === node);
  const inUse = machine === undefined ? undefined : await backendInUse(machine);
  const told = inUse ?? byFile ?? backends.find((b) => b === machine?.backend) ?? (status?.mode === "plain" ? "userspace" : undefined);
  if (told !== undefined) return told;
  if (machine !== undefined) remark(`the daemon of ${node} does not say which backend it has: nftables is taken; --backend names another`);
  return "nftables";
}
