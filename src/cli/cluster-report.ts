import type { Backend, ConnectionUse } from "../../rules/index.ts";
import type { Event, Node, Pod } from "../api/types/core-v1.generated.ts";
import { type Client, createClient } from "../client/client.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { resources } from "../client/resources.ts";
import { createHttpTransport } from "../client/transport.ts";
import type { NodeConnections } from "../daemon/agent.ts";
import { type Problem, printObjectRef } from "../snapshot/problem.ts";
import { backendInUse } from "./backend-option.ts";
import { type ClusterOptions, findCluster } from "./cluster.ts";
import type { ClusterStatus, NodeStatus } from "./cluster-status.ts";
import { askDaemon } from "./daemons.ts";

/** A node as its machine and as the API see it. */
export interface NodeReport extends Partial<NodeStatus> {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly ready: boolean | "unknown";
  /** Why it is not ready. */
  readonly reason?: string;
  readonly podCidrs: readonly string[];
  readonly pods?: number;
  /** How full its kernel's table of connections is, and by whom. */
  readonly connections?: ConnectionUse;
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
const recentMs = 10 * 60_000;
/** The component in whose name daemons write Problems as Events. */
const reporterName = "fairway";

/** What the status file says, completed by what the API and the daemons answer now; each may be missing. */
export async function clusterReport(options: ClusterOptions): Promise<ClusterReport> {
  const { status, kubeconfig } = findCluster(options);
  const access = loadKubeconfig({ path: kubeconfig });
  const transport = createHttpTransport(access);
  try {
    const machines = status?.nodes ?? [];
    const [live, problems, connections, inUse] = await Promise.all([
      ask(createClient(transport)).catch((e: unknown) => ({ error: e instanceof Error ? e.message : String(e) })),
      askDaemons<readonly Problem[]>(machines, "/problems"),
      askDaemons<NodeConnections>(machines, "/connections"),
      backendsInUse(machines),
    ]);
    return combine({ server: access.server, status, live, backends: inUse, problems: problems?.flat(), connections, now: Date.now() });
  } finally {
    transport.close();
  }
}

export interface LiveFacts {
  readonly version: string;
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  /** Warnings only. */
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
  return {
    version: (version as { readonly gitVersion?: string }).gitVersion ?? "",
    nodes: nodes.items,
    pods: pods.items,
    events: events.items,
  };
}

/** What the nodes' daemons answer; undefined when none of them does. */
async function askDaemons<T>(nodes: readonly NodeStatus[], path: string): Promise<readonly T[] | undefined> {
  const answers = (await Promise.all(nodes.map((node) => askDaemon(node, path)))).flatMap((text) => (text === undefined ? [] : [text]));
  return answers.length === 0 ? undefined : answers.map((text) => JSON.parse(text) as T);
}

/** Which backend each node has in use, as it says itself: `auto` is its own choice, and a configuration file may change. */
async function backendsInUse(nodes: readonly NodeStatus[]): Promise<ReadonlyMap<string, Backend>> {
  const told = await Promise.all(nodes.map(async (node) => [node.name, await backendInUse(node)] as const));
  return new Map(told.flatMap(([name, backend]) => (backend === undefined ? [] : [[name, backend] as const])));
}

/** Pure: the report of what is known. `now` in milliseconds decides which Events are recent. */
export function combine(facts: {
  readonly server: string;
  readonly status: ClusterStatus | undefined;
  readonly live: LiveFacts | { readonly error: string };
  /** Absent when no daemon answered: then Events are all there is. */
  readonly problems: readonly Problem[] | undefined;
  readonly connections?: readonly NodeConnections[] | undefined;
  /** What nodes say that they have in use, by node. */
  readonly backends?: ReadonlyMap<string, Backend>;
  readonly now: number;
}): ClusterReport {
  const { status, live } = facts;
  const { problems: stored = [], nodes: machines = [], api, ...rest } = status ?? {};
  const reached = "error" in live ? undefined : live;
  const names = [...new Set([...machines.map((n) => n.name), ...(reached?.nodes ?? []).map((n) => n.metadata?.name ?? "")])];
  const nodes = names.map((name) => {
    const machine = machines.find((m) => m.name === name);
    const object = reached?.nodes.find((n) => n.metadata?.name === name);
    const backend = facts.backends?.get(name);
    const used = machine === undefined || backend === undefined ? machine : { ...machine, backend };
    const report = nodeReport(name, used, object, reached?.pods.filter((p) => p.spec?.nodeName === name).length);
    const connections = facts.connections?.find((c) => c.node === name);
    return connections === undefined || !isCounted(connections) ? report : { ...report, connections: useOf(connections) };
  });
  const events = reached === undefined ? [] : currentEvents(reached, facts);
  const all = [...(facts.problems ?? stored).map(problemReport), ...events.map(eventReport)];
  return {
    ...rest,
    api: {
      server: facts.server,
      ...api,
      ...("error" in live ? { reachable: false, error: live.error } : { reachable: true, version: live.version }),
    },
    nodes,
    problems: [...new Map(all.map((p) => [`${p.object}\n${p.field ?? ""}\n${p.message}`, p])).values()],
  };
}

function isCounted(c: NodeConnections): c is NodeConnections & ConnectionUse {
  return c.entries !== undefined && c.limit !== undefined && c.services !== undefined;
}

function useOf({ entries, limit, services, moreServices, elsewhere }: ConnectionUse): ConnectionUse {
  return { entries, limit, services, moreServices, elsewhere };
}

/** Warnings that still matter: recent ones, of Pods only while they are not ready, and none that the daemons told themselves. */
function currentEvents(
  live: LiveFacts,
  facts: { readonly problems: readonly Problem[] | undefined; readonly now: number },
): readonly Event[] {
  const troubled = new Set(
    live.pods
      .filter((p) => p.status?.conditions?.find((c) => c.type === "Ready")?.status !== "True" && p.status?.phase !== "Succeeded")
      .map((p) => `${p.metadata?.namespace ?? ""}/${p.metadata?.name ?? ""}`),
  );
  return live.events.filter((e) => {
    const time = e.series?.lastObservedTime ?? e.lastTimestamp ?? e.eventTime ?? e.metadata?.creationTimestamp;
    if (time !== undefined && time !== null && facts.now - Date.parse(time) > recentMs) return false;
    if ((e.reportingComponent || e.source?.component) === reporterName) return facts.problems === undefined;
    const { kind, namespace, name } = e.involvedObject;
    return kind !== "Pod" || troubled.has(`${namespace ?? ""}/${name ?? ""}`);
  });
}

function problemReport({ object, field, reason, message }: Problem): ProblemReport {
  return { object: printObjectRef(object), ...(field === "" ? {} : { field }), reason, message };
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
