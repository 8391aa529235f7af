import type { Command } from "commander";
import { findCluster } from "./cluster.ts";
import type { DnsTopOptions } from "./commands/dns-top.ts";
import { daemonsOf } from "./daemons.ts";
import { usageError, workError } from "./errors.ts";
import { type DnsTop, printDnsTop } from "./printers/dns-top.ts";
import { commandIo } from "./program.ts";
import { remark } from "./question.ts";

const timeoutMs = 5000;

/** What one client asked, on all nodes together. */
interface Sums {
  queries: number;
  misses: number;
  savings: number;
}

const families = {
  fairway_dns_client_queries_total: "queries",
  fairway_dns_client_search_misses_total: "misses",
  fairway_dns_client_ndots_savings_total: "savings",
} as const;

/** Adds up what the nodes' metrics say of DNS clients and names, and puts pods' names to addresses. */
export async function answerDnsTop(options: DnsTopOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const limit = Number(options.limit);
  if (!Number.isSafeInteger(limit) || limit < 1) throw usageError(`--limit ${options.limit}: write a whole number from 1 on`);
  const daemons = daemonsOf(options);
  const clients = new Map<string, Sums>();
  const names = new Map<string, number>();
  let answered = 0;
  for (const { name, address } of daemons) {
    try {
      const response = await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(timeoutMs) });
      if (!response.ok) throw new Error(`status ${response.status}`);
      addMetrics(await response.text(), clients, names);
      answered++;
    } catch (error) {
      remark(io, `${name} does not answer at ${address}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (answered === 0) throw workError(`no node answers; asked ${daemons.map((d) => d.address).join(", ")}`);
  const pods = options.observe === undefined ? await podsByAddress(options) : new Map<string, string>();
  const most = <T>(list: readonly T[], of: (x: T) => number): readonly T[] => list.toSorted((a, b) => of(b) - of(a)).slice(0, limit);
  const top: DnsTop = {
    clients: most(
      Array.from(clients, ([client, sums]) => ({ client, pod: pods.get(client) ?? null, ...sums })),
      (c) => c.queries,
    ),
    names: most(
      Array.from(names, ([name, queries]) => ({ name, queries })),
      (n) => n.queries,
    ),
  };
  io.stdout(printDnsTop(options.output, top));
}

/** Adds the families of one node's Prometheus text. */
export function addMetrics(text: string, clients: Map<string, Sums>, names: Map<string, number>): void {
  for (const line of text.split("\n")) {
    const match = /^(fairway_dns_\w+)\{(client|name)="((?:[^"\\]|\\.)*)"\} ([0-9.e+]+)$/.exec(line);
    if (match === null) continue;
    const [, family = "", label, escaped = "", value] = match;
    const key = escaped.replace(/\\(.)/g, "$1");
    if (label === "name") {
      names.set(key, (names.get(key) ?? 0) + Number(value));
      continue;
    }
    const field = Object.hasOwn(families, family) ? families[family as keyof typeof families] : undefined;
    if (field === undefined) continue;
    const sums = clients.get(key) ?? { queries: 0, misses: 0, savings: 0 };
    sums[field] += Number(value);
    clients.set(key, sums);
  }
}

async function podsByAddress(options: DnsTopOptions): Promise<ReadonlyMap<string, string>> {
  const { liveSnapshot } = await import("./live-objects.ts");
  const { snapshot } = await liveSnapshot(findCluster(options), ["Pod"]);
  const pods = new Map<string, string>();
  for (const pod of snapshot.tables.Pod.values()) {
    // what shares its node's address is not told apart from the node
    if (pod.spec?.hostNetwork === true) continue;
    for (const { ip } of pod.status?.podIPs ?? []) if (ip !== undefined) pods.set(ip, `${pod.metadata?.namespace}/${pod.metadata?.name}`);
  }
  return pods;
}
