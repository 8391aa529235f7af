import { Answerer } from "../../dns/answer/answerer.ts";
import { defaultBlocks } from "../../dns/corefile/default-blocks.ts";
import { createContext, questionMessage } from "../../dns/handler/handler.ts";
import { startOfflineChains } from "../../dns/handler/offline-chains.ts";
import type { Message } from "../../dns/wire/message.ts";
import { canonicalName } from "../../dns/wire/name.ts";
import { type ResourceRecord, typeOf } from "../../dns/wire/record.ts";
import { classIn, parseType, printRcode, printType } from "../../dns/wire/record-type.ts";
import { parseRecord, printRecord } from "../../dns/wire/zone-file.ts";
import { DnsZone, type DnsZoneConfig } from "../../dns/zone/dns-zone.ts";
import { withTable } from "../../src/snapshot/apply-event.ts";
import { emptySnapshot, type Kind, type Snapshot, type SnapshotKinds } from "../../src/snapshot/cluster-snapshot.ts";
import { batchFromEmpty } from "../../src/snapshot/snapshot-store.ts";

/**
 * A question and what must come: records as zone-file lines. Answers and additional records are compared as sets, but an alias
 * comes before its target; of the authority section only owner and type count, and of a SOA not the serial.
 */
export interface Case {
  readonly qname: string;
  readonly qtype: string;
  readonly rcode: string;
  readonly answer?: readonly string[];
  readonly authority?: readonly string[];
  readonly additional?: readonly string[];
}

/** What a case compares of an answer, in an order that does not depend on rotation. */
export interface Outcome {
  readonly rcode: string;
  readonly answer: readonly string[];
  readonly authority: readonly string[];
  readonly additional: readonly string[];
}

export function wantedOutcome(c: Case): Outcome {
  return outcome(c.rcode, (c.answer ?? []).map(parseRecord), (c.authority ?? []).map(parseRecord), (c.additional ?? []).map(parseRecord));
}

export function outcomeOf(m: Message): Outcome {
  return outcome(printRcode(m.rcode), m.answers, m.authority, m.additional);
}

function outcome(
  rcode: string,
  answer: readonly ResourceRecord[],
  authority: readonly ResourceRecord[],
  additional: readonly ResourceRecord[],
): Outcome {
  const lines = (records: readonly ResourceRecord[]): string[] => records.map(comparedLine).sort();
  const aliases = answer.filter((r) => r.data.kind === "CNAME").map(comparedLine);
  return {
    rcode,
    answer: [...aliases, ...lines(answer.filter((r) => r.data.kind !== "CNAME"))],
    authority: authority.map((r) => `${canonicalName(r.name)} ${printType(typeOf(r.data))}`).sort(),
    additional: lines(additional),
  };
}

function comparedLine(r: ResourceRecord): string {
  const data = r.data.kind === "SOA" ? { ...r.data, serial: 0 } : r.data;
  return printRecord({ ...r, name: canonicalName(r.name), data });
}

export interface AnyObject {
  readonly kind: string;
  readonly metadata?: object;
}

/** A snapshot of plain objects, as they stand in manifests. */
export function snapshotOf(objects: readonly AnyObject[]): Snapshot {
  let snapshot = emptySnapshot;
  for (const kind of new Set(objects.map((o) => o.kind))) {
    const own = objects.filter((o) => o.kind === kind);
    snapshot = withTable(snapshot, kind as Kind, own as readonly SnapshotKinds[Kind][]);
  }
  return snapshot;
}

/** As a server has it: endpoints may have addresses of any reverse zone. */
const passing = ["in-addr.arpa.", "ip6.arpa."];

/** Asks the zone of `objects` in the process: the same answerer and chain as a server's, without upstreams. */
export function pureResolver(
  objects: readonly AnyObject[],
  config: DnsZoneConfig = {},
): (c: Pick<Case, "qname" | "qtype">) => Promise<Message> {
  const zone = new DnsZone(config);
  zone.apply(batchFromEmpty(snapshotOf(objects)));
  const answerer = new Answerer({ ...config, passing });
  answerer.apply(zone.full());
  answerer.setSynced();
  const chains = startOfflineChains(answerer, { ...defaultBlocks({ ...config, upstreams: [] }), passing }, (message) => {
    throw new Error(message);
  });
  return async ({ qname, qtype }) => {
    const type = parseType(qtype);
    if (type === undefined) throw new Error(`no type ${qtype}`);
    const question = { name: qname, type, class: classIn };
    const query = { message: questionMessage(question, { id: 7 }), question, client: "127.0.0.1", transport: "tcp" } as const;
    return (await chains).handler(query, createContext({ signal: new AbortController().signal }));
  };
}

export function printCaseName(c: Case): string {
  return `${c.qname} ${c.qtype} is ${c.rcode} with ${c.answer?.length ?? 0}`;
}
