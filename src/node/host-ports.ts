import { type Ip, ipFamily, printHostPort } from "../base/ip.ts";
import type { HostPort } from "./container-plan.ts";

/** A port of the node that leads to a pod. */
export interface HostPortUse {
  readonly port: HostPort;
  readonly podIps: readonly Ip[];
}

const table = "fairway-hostports";

/**
 * All host ports of a node as one `nft -f` transaction that replaces what was there; without any, the table goes. The chains come after
 * those of Services (priority dstnat is -100): a node port wins over a host port of the same number.
 */
export function printHostPorts(uses: readonly HostPortUse[]): string {
  // Adding before deleting: there need not be one yet.
  const lines = [`add table inet ${table}`, `delete table inet ${table}`];
  if (uses.length === 0) return `${lines.join("\n")}\n`;
  lines.push(
    `add table inet ${table}`,
    `add chain inet ${table} ports`,
    `add chain inet ${table} prerouting { type nat hook prerouting priority -95; }`,
    `add rule inet ${table} prerouting fib daddr type local jump ports`,
    `add chain inet ${table} output { type nat hook output priority -95; }`,
    `add rule inet ${table} output fib daddr type local jump ports`,
    `add chain inet ${table} postrouting { type nat hook postrouting priority 105; }`,
  );
  for (const { port, podIps } of uses) {
    for (const ip of podIps) {
      const family = ipFamily(ip) === 4 ? "ip" : "ip6";
      if (port.hostIp !== undefined && ipFamily(port.hostIp) !== ipFamily(ip)) continue;
      const to = port.hostIp === undefined || /^(0\.0\.0\.0|::)$/.test(port.hostIp) ? "" : `${family} daddr ${port.hostIp} `;
      const nfproto = `meta nfproto ${ipFamily(ip) === 4 ? "ipv4" : "ipv6"} `;
      const protocol = port.protocol.toLowerCase();
      lines.push(
        `add rule inet ${table} ports ${nfproto}${to}${protocol} dport ${port.hostPort} dnat ${family} to ${printHostPort(ip, port.containerPort)}`,
        // A pod that calls its own host port would answer itself past the translation.
        `add rule inet ${table} postrouting ${family} saddr ${ip} ${family} daddr ${ip} ct status dnat masquerade`,
      );
    }
  }
  // A pod with several ports has the last rule once each.
  const [add = "", remove = "", ...rest] = lines;
  return `${[add, remove, ...new Set(rest)].join("\n")}\n`;
}
