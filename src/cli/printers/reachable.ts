import manifest from "../../../package.json" with { type: "json" };
import { printCidr } from "../../base/cidr.ts";
import { printHostPort } from "../../base/ip.ts";
import type { RunningCluster } from "../../daemon/up.ts";
import type { ClusterStatus } from "../cluster-status.ts";

/** What `status.json` says of a cluster that runs. */
export function clusterStatusOf(
  c: RunningCluster,
  own: { readonly dataDir: string; readonly pid: number; readonly pidStarted: number | undefined },
): ClusterStatus {
  const backend = c.mode === "plain" ? "userspace" : c.config.backend;
  return {
    name: c.config.name,
    dataDir: own.dataDir,
    pid: own.pid,
    ...(own.pidStarted === undefined ? {} : { pidStarted: own.pidStarted }),
    mode: c.mode,
    api: c.api,
    kubeconfig: c.config.kubeconfig,
    ...(c.config.proxyConfig === undefined ? {} : { config: c.config.proxyConfig.file }),
    nodes: c.nodes.map((n) => ({
      name: n.name,
      addresses: n.ips,
      ...(n.netns === undefined ? {} : { netns: n.netns }),
      // what `auto` chose is its node's own to say
      ...(backend === "auto" ? {} : { backend }),
      metrics: { address: n.observe.ip, port: n.observe.port },
      health: { address: n.observe.ip, port: n.observe.port },
    })),
    dns: { addresses: c.dns.addresses, port: c.dns.port },
    ingress: { addresses: c.ingress },
    serviceCidrs: c.config.serviceCidrs.map(printCidr),
    clusterCidrs: c.config.clusterCidrs.map(printCidr),
    lbPool: c.config.lbPool.map(printCidr),
    clusterDomain: c.config.clusterDomain,
    versions: { fairway: manifest.version },
  };
}

/** Plain mode: ports below 1024 that this user may not bind are served this much higher; as DNS has moved, so have Services. */
export function portShift(s: Pick<ClusterStatus, "mode" | "dns">): number {
  return s.mode === "plain" && s.dns !== undefined ? s.dns.port - 53 : 0;
}

/** What is reachable where. */
export function printReachable(s: ClusterStatus): string {
  const dns = s.dns?.addresses[0] ?? "";
  const shift = portShift(s);
  const [first] = s.ingress?.addresses ?? [];
  const rows: readonly (readonly [string, string])[] = [
    ["API", `https://${printHostPort(s.api.address, s.api.port)}`],
    ["nodes", s.nodes.map((n) => `${n.name} ${n.addresses.join(" ")}`).join(", ")],
    ["Services", `${s.serviceCidrs.join(", ")}; LoadBalancers ${s.lbPool.join(", ")}; pods ${s.clusterCidrs.join(", ")}`],
    ...(shift === 0 ? [] : [["", `a Service's port below 1024 is served ${shift} higher: 80 at ${80 + shift}`] as const]),
    ["DNS", `${dns}${shift === 0 ? "" : ` port ${s.dns?.port}`} for ${s.clusterDomain}`],
    [
      "ingress",
      first === undefined
        ? "none"
        : `http://${printHostPort(first.ip, first.http)} https://${printHostPort(first.ip, first.https)}${s.mode === "full" ? ", and on every node" : ""}`,
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `\n${rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n")}\n\n`;
}

/** The first lines to try; every line works as pasted. */
export function printFirstLines(s: ClusterStatus): string {
  const port = s.dns?.port === 53 ? "" : ` -p ${s.dns?.port}`;
  return `  export KUBECONFIG=${shellWord(s.kubeconfig)}
  kubectl get nodes -o wide
  dig @${s.dns?.addresses[0] ?? ""}${port} kubernetes.default.svc.${s.clusterDomain} +short

`;
}

/** A path as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
