import { startDnsServer } from "../../dns/index.ts";
import type { Cidr } from "../base/cidr.ts";
import type { Ip } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";

/**
 * Names outside the cluster, for nodes in network namespaces: asked of this machine's own resolvers, from this
 * machine's own namespace, for clients among `nodes` only. `port` is any free one.
 */
export async function startDnsRelay(ip: Ip, nodes: readonly Cidr[], log: Log): Promise<Running & { readonly port: number }> {
  const server = startDnsServer({ listen: [{ ip, port: 0 }], kubernetes: { zones: [] }, allowedClients: nodes, cache: false }, { log });
  await server.ready;
  return { ready: server.ready, port: server.addresses()[0]?.port ?? 0, close: () => server.close() };
}
