import type { Event, Node } from "../api/types/core-v1.generated.ts";
import { type Client, createClient } from "../client/client.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { resources } from "../client/resources.ts";
import { createHttpTransport } from "../client/transport.ts";
import { type ClusterOptions, findCluster } from "./cluster.ts";
import type { ClusterStatus, NodeStatus } from "./cluster-status.ts";

/** A node as its machine and as the API see it. */
export interface NodeReport extends Partial<NodeStatus> {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly ready: boolean | "unknown";
  /** Why it is not ready. */
  readonly reason?: string;
  readonly podCidrs: readonly string[];
  readonly pods?: number;
}

/** A warning Event, or what a daemon said about an object. */
export interface ProblemReport {
  readonly object: string;
  readonly field?: string;
  readonly reason: string;
  readonly message: string;
}

export interface ClusterReport extends Partial<Omit<ClusterStatus, "nodes" | "problems" | "api">> {
  readonly api: {
    readonly server: string;
    readonly address?: string;
    readonly port?: number;
    readonly reachable: boolean;
    readonly version?: string;
    readonly error?: string;
  };
  readonly nodes: readonly NodeReport[];
  readonly problems: readonly ProblemReport[];
}

const timeoutMs = 5000;

/** What the status file says, completed by what the API answers now; either may be missing. */
export async function clusterReport(options: ClusterOptions): Promise<ClusterReport> {
  const { status, kubeconfig } = findCluster(options);
  const access = loadKubeconfig({ path: kubeconfig });
  const transport = createHttpTransport(access);
  try {
    const live = await ask(createClient(transport)).catch((e: unknown) => ({ error: e instanceof Error ? e.message : String(e) }));
    return combine(access.server, status, live);
  } finally {
    transport.close();
  }
}

interface LiveFacts {
  readonly version: string;
  readonly nodes: readonly Node[];
  readonly podsByNode: ReadonlyMap<string, number>;
  readonly events: readonly Event[];
}

async function ask(client: Client): Promise<LiveFacts> {
  const signal = AbortSignal.timeout(timeoutMs);
  const [version, nodes, pods, events] = await Promise.all([
    client.json({ method: "GET", path: "/version" }, signal),
    client.list(resources.nodes, {}, signal),
    client.list(resources.pods, {}, signal),
    client.list(resources.events, { fieldSelector: "type=Warning" }, signal),
  ]);
  const podsByNode = new Map<string, number>();
  for (const pod of pods.items) {
    const node = pod.spec?.nodeName;
    if (node !== undefined) podsByNode.set(node, (podsByNode.get(node) ?? 0) + 1);
  }
  return {
    version: (version as { readonly gitVersion?: string }).gitVersion ?? "",
    nodes: nodes.items,
    podsByNode,
    events: events.items,
  };
}

/** Pure: the report of what is known. */
export function combine(server: string, status: ClusterStatus | undefined, live: LiveFacts | { readonly error: string }): ClusterReport {
  const { problems = [], nodes: machines = [], api, ...rest } = status ?? {};
  const names = [...new Set([...machines.map((n) => n.name), ...("error" in live ? [] : live.nodes.map((n) => n.metadata?.name ?? ""))])];
  const nodes = names.map((name) => {
    const machine = machines.find((m) => m.name === name);
    const object = "error" in live ? undefined : live.nodes.find((n) => n.metadata?.name === name);
    return nodeReport(name, machine, object, "error" in live ? undefined : (live.podsByNode.get(name) ?? 0));
  });
  const written = problems.map((p) => ({
    object:
      p.object.namespace === undefined ? `${p.object.kind} ${p.object.name}` : `${p.object.kind} ${p.object.namespace}/${p.object.name}`,
    field: p.field,
    reason: p.reason,
    message: p.message,
  }));
  return {
    ...rest,
    api: { server, ...api, ...("error" in live ? { reachable: false, error: live.error } : { reachable: true, version: live.version }) },
    nodes,
    problems: [...written, ...("error" in live ? [] : live.events.map(eventReport))],
  };
}

function nodeReport(name: string, machine: NodeStatus | undefined, object: Node | undefined, pods: number | undefined): NodeReport {
  const condition = object?.status?.conditions?.find((c) => c.type === "Ready");
  const ready = condition === undefined || condition.status === "Unknown" ? "unknown" : condition.status === "True";
  const internal = (object?.status?.addresses ?? []).filter((a) => a.type === "InternalIP").map((a) => a.address);
  return {
    ...machine,
    name,
    addresses: machine?.addresses ?? internal,
    ready,
    ...(ready === true || condition?.message === undefined ? {} : { reason: condition.message }),
    podCidrs: object?.spec?.podCIDRs ?? [],
    ...(pods === undefined ? {} : { pods }),
  };
}

function eventReport(event: Event): ProblemReport {
  const about = event.involvedObject;
  const name = about.namespace ? `${about.namespace}/${about.name ?? ""}` : (about.name ?? "");
  return { object: `${about.kind ?? "object"} ${name}`, reason: event.reason ?? "", message: event.message ?? "" };
}
