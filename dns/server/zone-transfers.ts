import { cidrContains } from "../../src/base/cidr.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { Answerer } from "../answer/answerer.ts";
import { type BlockRecord, blockChange, blockRecordKey } from "../answer/block-changes.ts";
import { changeMessages, soaMessage, transferMessages, type ZoneHead } from "../answer/zone-copy.ts";
import type { TransferConfig } from "../config/transfer-config.ts";
import { isParseError } from "../wire/errors.ts";
import { decodeMessage, type Message } from "../wire/message.ts";
import { canonicalName, encodeName } from "../wire/name.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";
import { ChangeJournal, type ZoneChange } from "../zone/change-journal.ts";
import type { RecordDelta } from "../zone/record-delta.ts";

/** A change of more names at once is rather a new beginning. */
const mostNames = 10_000;
/** Each copies the zones' memory while it runs. */
const maxTransfers = 2;

/** Gives whole zones to those who may have them. */
export class ZoneTransfers {
  readonly #answerer: Answerer;
  readonly #rules: readonly TransferConfig[];
  readonly #journal = new ChangeJournal(blockRecordKey);
  #running = 0;

  constructor(answerer: Answerer, rules: readonly TransferConfig[]) {
    this.#answerer = answerer;
    this.#rules = rules;
  }

  /** Has the answerer take changes over, and remembers them where somebody may ask for them. */
  apply(delta: RecordDelta): void {
    const answerer = this.#answerer;
    if (this.#rules.length === 0) {
      answerer.apply(delta);
      return;
    }
    const from = answerer.revision >>> 0;
    const names = new Set([...delta.deletes, ...delta.upserts.map((u) => u.key), ...(delta.edits ?? []).map((e) => e.key)]);
    const isWhole = delta.full === true || names.size > mostNames;
    const before = isWhole ? [] : Array.from(names, (name) => [name, answerer.copyBlock(name)] as const);
    answerer.apply(delta);
    if (isWhole) {
      this.#journal.clear();
      return;
    }
    const changes = before.map(([name, block]) => blockChange(block, answerer.copyBlock(name)));
    const change = { removed: changes.flatMap((c) => c.removed), added: changes.flatMap((c) => c.added) };
    this.#journal.add(from, answerer.revision >>> 0, change);
  }

  /**
   * The messages that answer an AXFR or IXFR; undefined when the chain is to refuse it: it is none, not for this client, of no
   * zone here, or too many run. An IXFR gets what has changed since, where that is remembered, else the whole zone; and the SOA alone when
   * its client has it already or asks over UDP (RFC 1995).
   */
  answer(bytes: Uint8Array, client: Ip, transport: "stream" | "datagram"): Iterable<Uint8Array> | undefined {
    if (this.#rules.length === 0) return undefined;
    const query = read(bytes);
    const [question] = query?.questions ?? [];
    if (query === undefined || question === undefined || question.class !== classIn) return undefined;
    const { type } = question;
    if (type !== typeNumbers.IXFR && (type !== typeNumbers.AXFR || transport === "datagram")) return undefined;
    if (!this.#isAllowed(canonicalName(question.name), client) || this.#running >= maxTransfers) return undefined;
    const name = encodeName(question.name);
    const head = this.#answerer.zoneHead(name);
    if (head === undefined) return undefined;
    const asked = { id: query.id, name, type };
    const [had] = query.authority.flatMap((r) => (r.data.kind === "SOA" ? [r.data.serial] : []));
    if (type === typeNumbers.IXFR) {
      if (transport === "datagram" || isCurrent(had, this.#answerer.revision >>> 0)) return [soaMessage(head, asked)];
      const change = had === undefined ? undefined : this.#changeOf(head, had);
      if (change !== undefined) return changeMessages(head, change, asked);
    }
    const zone = this.#answerer.copyZone(name);
    return zone === undefined ? undefined : this.#counted(transferMessages(zone, asked));
  }

  /** Undefined where the whole zone is the shorter answer, too. */
  #changeOf({ index }: ZoneHead, from: number): (ZoneChange<BlockRecord> & { readonly from: number }) | undefined {
    const since = this.#journal.since(from);
    if (since === undefined) return undefined;
    const removed = since.removed.filter((r) => r.zone === index);
    const added = since.added.filter((r) => r.zone === index);
    return removed.length + added.length > this.#answerer.size ? undefined : { from, removed, added };
  }

  *#counted(messages: Iterable<Uint8Array>): Iterable<Uint8Array> {
    this.#running++;
    try {
      yield* messages;
    } finally {
      this.#running--;
    }
  }

  #isAllowed(zone: string, client: Ip): boolean {
    const ip = parseIp(client);
    return this.#rules.some(
      ({ zones, to }) =>
        (zones === undefined || zones.some((z) => canonicalName(z) === zone)) &&
        (to === "*" || (ip !== undefined && to.some((cidr) => cidrContains(cidr, ip)))),
    );
  }
}

function read(bytes: Uint8Array): Message | undefined {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (isParseError(error)) return undefined;
    throw error;
  }
}

/** Serial numbers compare in a circle (RFC 1982). */
function isCurrent(had: number | undefined, now: number): boolean {
  return had !== undefined && ((now - had) | 0) <= 0;
}
