import type { ClusterReport, NodeReport } from "../cluster-report.ts";
import type { SocketAddress } from "../cluster-status.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";
import { type Column, oneLine, printFields, printTable } from "./table.ts";

const nodeColumns: readonly Column<NodeReport>[] = [
  { title: "NODE", cell: (n) => n.name },
  { title: "READY", cell: (n) => (n.ready === "unknown" ? "unknown" : n.ready ? "yes" : `no: ${n.reason ?? ""}`) },
  { title: "ADDRESSES", cell: (n) => n.addresses.join(",") },
  { title: "PODS", cell: (n) => (n.pods === undefined ? "-" : String(n.pods)) },
  { title: "POD RANGE", cell: (n) => n.podCidrs.join(",") || "-" },
  { title: "CONNECTIONS", cell: (n) => printConnections(n) },
  { title: "METRICS", cell: (n) => printSocket(n.metrics) },
  { title: "HEALTH", wide: true, cell: (n) => printSocket(n.health) },
  { title: "NAMESPACE", wide: true, cell: (n) => n.netns ?? "-" },
  { title: "BACKEND", wide: true, cell: (n) => n.backend ?? "-" },
  {
    title: "MOST CONNECTIONS",
    wide: true,
    cell: (n) =>
      (n.connections?.services ?? [])
        .slice(0, 3)
        .map((s) => `${s.service} ${s.connections}`)
        .join(", ") || "-",
  },
];

export function printStatus(format: OutputFormat | undefined, report: ClusterReport): string {
  return printAnswer(format, {
    data: report,
    text: () => statusText(report, false),
    wide: () => statusText(report, true),
    names: () => report.nodes.map((n) => n.name),
  });
}

function statusText(report: ClusterReport, wide: boolean): string {
  const { api, dns, ingress } = report;
  const head = printFields([
    ["Cluster", report.name],
    ["API", `${api.server} ${api.reachable ? `(${api.version ?? "answers"})` : `does not answer: ${api.error ?? ""}`}`],
    ["Mode", report.mode === "plain" ? "plain: one node, no namespaces ('fairway check' says why)" : report.mode],
    ["Kubeconfig", report.kubeconfig],
    ["Data", report.dataDir],
    ["Services", report.serviceCidrs?.join(", ")],
    ["Pods", report.clusterCidrs?.join(", ")],
    ["LB pool", report.lbPool?.join(", ")],
    [
      "DNS",
      dns === undefined
        ? undefined
        : `${dns.addresses.map((a) => printSocket({ address: a, port: dns.port })).join(", ")} (${report.clusterDomain ?? ""})`,
    ],
    [
      "Ingress",
      ingress?.addresses
        .map((a) => `http ${printSocket({ address: a.ip, port: a.http })}, https ${printSocket({ address: a.ip, port: a.https })}`)
        .join("; "),
    ],
    ["Metrics", report.metrics === undefined ? undefined : printSocket(report.metrics)],
  ]);
  const nodes = report.nodes.length === 0 ? "" : `\n${printTable(nodeColumns, report.nodes, { wide })}`;
  const problems = report.problems.map(
    (p) => `  ${oneLine(`${p.object}${p.field === undefined ? "" : `: ${p.field}`}: ${p.message} (${p.reason})`)}\n`,
  );
  return `${head}${nodes}${problems.length === 0 ? "" : `\nProblems:\n${problems.join("")}`}`;
}

/** Of what the kernel may track; once that is reached it drops new ones. */
function printConnections({ connections }: NodeReport): string {
  if (connections === undefined) return "-";
  const { entries, limit } = connections;
  return `${entries} of ${limit} (${limit === 0 ? 0 : Math.round((100 * entries) / limit)}%)`;
}

function printSocket(address: SocketAddress | undefined): string {
  if (address === undefined) return "-";
  return address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
