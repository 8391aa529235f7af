import type { Cidr } from "../../src/base/cidr.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import { batchFromEmpty } from "../../src/snapshot/snapshot-store.ts";
import { Answerer } from "../answer/answerer.ts";
import { clusterZones } from "../config/served-zones.ts";
import type { KubernetesConfig } from "../config/zone-config.ts";
import { defaultBlocks } from "../corefile/default-blocks.ts";
import type { DnsBlocks } from "../corefile/server-blocks.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName, nameLabels } from "../wire/name.ts";
import { type ResourceRecord, typeOf } from "../wire/record.ts";
import { classIn, parseType, printRcode, printType, rcodes } from "../wire/record-type.ts";
import { printRecordData } from "../wire/zone-file.ts";
import { DnsZone } from "../zone/dns-zone.ts";
import { reverseZones } from "../zone/reverse-zone.ts";
import { createContext, type DnsHandler, questionMessage } from "./handler.ts";
import { startOfflineChains } from "./offline-chains.ts";

export interface ResolveOptions {
  /** A pod as `namespace/name`, or an address: whose namespace begins the search path. */
  readonly from?: string;
  /** Try the names of a pod's search path in order, as its resolver does. Else the name is taken as it stands. */
  readonly search?: boolean;
  /** Default `cluster.local`. */
  readonly clusterDomain?: string;
  /** Service and pod ranges, for reverse names; default all addresses. */
  readonly reverse?: readonly Cidr[];
  /** Seconds; default 5. */
  readonly ttl?: number;
  /** Server blocks of a Corefile, in place of domain, ranges and TTL. */
  readonly blocks?: DnsBlocks;
}

/** A record as the command line prints it; `data` in zone-file form. */
export interface PrintedRecord {
  readonly name: string;
  readonly type: string;
  /** Seconds. */
  readonly ttl: number;
  readonly data: string;
}

/** An answer as the command line prints it. */
export interface Resolution {
  readonly rcode: string;
  readonly authoritative: boolean;
  readonly answers: readonly PrintedRecord[];
  readonly authority: readonly PrintedRecord[];
  readonly additional: readonly PrintedRecord[];
  /** Who had a part in it, by CoreDNS's plugin names; empty when nobody here knows the name. */
  readonly handlers: readonly string[];
}

/** Names with fewer dots than this go through the search path first (what the kubelet writes into a pod's resolv.conf). */
const ndots = 5;
const everyReverseZone = ["in-addr.arpa.", "ip6.arpa."];

/**
 * What a name resolves to by the objects of a snapshot, from the same compiler, answerer and chain that a node runs; nothing is
 * asked of any server, so that a name outside the cluster is REFUSED and an alias to one ends with its CNAME. `type` is a name
 * in any case; throws a RangeError for one that is none, and for a file of the configuration that cannot be read.
 */
export async function resolveOffline(snapshot: Snapshot, name: string, type: string, options: ResolveOptions = {}): Promise<Resolution> {
  const typeNumber = parseType(type);
  if (typeNumber === undefined) throw new RangeError(`${type} is not a record type; try A, AAAA, SRV, PTR, CNAME, TXT, NS, SOA or TYPEn`);
  const configured = options.blocks === undefined ? [] : clusterZones(options.blocks.zones.kubernetes);
  const domain = canonicalName(configured[0] ?? options.clusterDomain ?? "cluster.local");
  const reverse = options.reverse === undefined ? everyReverseZone : options.reverse.flatMap(reverseZones);
  const names: KubernetesConfig = { zones: [domain, ...reverse], ...(options.ttl === undefined ? {} : { ttl: options.ttl }) };
  const blocks = options.blocks ?? { ...defaultBlocks({ kubernetes: names, upstreams: [] }), passing: [] };
  const zone = new DnsZone(blocks.zones);
  zone.apply(batchFromEmpty(snapshot));
  const answerer = new Answerer({ ...blocks.zones, passing: blocks.passing });
  answerer.apply(zone.full());
  answerer.setSynced();
  const faults: string[] = [];
  const { handler, chains } = await startOfflineChains(answerer, blocks, (message) => void faults.push(message));
  const [fault] = faults;
  if (fault !== undefined) {
    await chains.close();
    throw new RangeError(fault);
  }
  const client = clientAddress(snapshot, options.from);
  const ask = (candidate: string): Promise<Resolution> => askChain(handler, candidate, typeNumber, client);

  const candidates = options.search === true ? searchNames(name, podNamespace(snapshot, options.from), domain) : [canonicalName(name)];
  // a bare label outside the cluster is nobody's: the cluster's own no is what its resolver ends with
  const reported = nameLabels(canonicalName(name)).length > 1 ? canonicalName(name) : candidates[0];
  let negative: Resolution | undefined;
  try {
    for (const candidate of candidates) {
      const resolution = await ask(candidate);
      if (resolution.rcode === "NOERROR" && resolution.answers.length > 0) return resolution;
      if (candidate === reported) negative = resolution;
    }
    return negative ?? (await ask(canonicalName(name)));
  } finally {
    await chains.close();
  }
}

/** The names a pod's resolver tries for `name`, in order. */
export function searchNames(name: string, namespace: string, domain: string): readonly string[] {
  const absolute = canonicalName(name);
  if (name.endsWith(".")) return [absolute];
  const search = [`${namespace}.svc.${domain}`, `svc.${domain}`, domain].map((suffix) => `${absolute}${suffix}`);
  const dots = nameLabels(absolute).length - 1;
  return dots >= ndots ? [absolute, ...search] : [...search, absolute];
}

/** Of `namespace/pod`, or of the Pod that has the address; `default` for all others. */
function podNamespace(snapshot: Snapshot, from: string | undefined): string {
  if (from === undefined) return "default";
  if (from.includes("/")) return from.split("/")[0] || "default";
  const pod = snapshot.tables.Pod.find((p) => hasAddress(p, from));
  return pod?.metadata?.namespace ?? "default";
}

function hasAddress(
  pod: { readonly status?: { readonly podIP?: string; readonly podIPs?: readonly { readonly ip?: string }[] } },
  ip: Ip,
): boolean {
  return pod.status?.podIP === ip || (pod.status?.podIPs ?? []).some((p) => p.ip === ip);
}

/** Where a question comes from: views and access lists look at it. */
function clientAddress(snapshot: Snapshot, from: string | undefined): Ip {
  if (from === undefined) return "127.0.0.1";
  if (!from.includes("/")) return from;
  const [namespace, name] = from.split("/");
  const pod = snapshot.tables.Pod.find((p) => p.metadata?.namespace === namespace && p.metadata?.name === name);
  return pod?.status?.podIP ?? "127.0.0.1";
}

async function askChain(chain: DnsHandler, name: string, type: number, client: Ip): Promise<Resolution> {
  const question = { name, type, class: classIn };
  const { edns: _, ...message } = questionMessage(question, { id: 0 });
  const context = createContext({ signal: new AbortController().signal });
  const answer = await chain({ message, question, client, transport: "tcp" }, context);
  return printResolution(answer, Array.from(context.took));
}

export function printResolution(answer: Message, handlers: readonly string[]): Resolution {
  return {
    rcode: printRcode(answer.rcode),
    authoritative: answer.authoritative,
    answers: answer.answers.map(printedRecord),
    authority: answer.authority.map(printedRecord),
    additional: answer.additional.map(printedRecord),
    handlers: answer.rcode === rcodes.REFUSED ? [] : handlers,
  };
}

function printedRecord(r: ResourceRecord): PrintedRecord {
  return { name: r.name, type: printType(typeOf(r.data)), ttl: r.ttl, data: printRecordData(r.data) };
}
