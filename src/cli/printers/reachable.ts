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
  return {
    name: c.config.name,
    dataDir: own.dataDir,
    pid: own.pid,
    ...(own.pidStarted === undefined ? {} : { pidStarted: own.pidStarted }),
    mode: c.mode,
    api: c.api,
    kubeconfig: c.config.kubeconfig,
    nodes: c.nodes.map((n) => ({
      name: n.name,
      addresses: n.ips,
      ...(n.netns === undefined ? {} : { netns: n.netns }),
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

/** What is reachable where, and the first lines to try; every line works as pasted. */
export function printReachable(s: ClusterStatus): string {
  const dns = s.dns?.addresses[0] ?? "";
  const dnsPort = s.dns?.port === 53 ? "" : ` -p ${s.dns?.port}`;
  const [first] = s.ingress?.addresses ?? [];
  const rows: readonly (readonly [string, string])[] = [
    ["API", `https://${printHostPort(s.api.address, s.api.port)}`],
    ["nodes", s.nodes.map((n) => `${n.name} ${n.addresses.join(" ")}`).join(", ")],
    ["Services", `${s.serviceCidrs.join(", ")}; LoadBalancers ${s.lbPool.join(", ")}; pods ${s.clusterCidrs.join(", ")}`],
    ["DNS", `${dns}${dnsPort === "" ? "" : ` port ${s.dns?.port}`} for ${s.clusterDomain}`],
    [
      "ingress",
      first === undefined
        ? "none"
        : `http://${printHostPort(first.ip, first.http)} https://${printHostPort(first.ip, first.https)}, and on every node`,
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `
${rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n")}

  export KUBECONFIG=${s.kubeconfig}
  kubectl get nodes -o wide
  dig @${dns}${dnsPort} kubernetes.default.svc.${s.clusterDomain} +short

`;
}
