import { constants } from "node:os";
import type { Chain, Element, Rule, SetDefinition } from "../../rules/nftables/statement.ts";
import { fnv1a } from "../base/hash.ts";
import type { IpFamily } from "../base/ip.ts";
import {
  NetlinkFault,
  type NetlinkMessage,
  NetlinkSocket,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  netlinkFamily,
} from "./netlink.ts";
import { nested, readAttributes, readString } from "./netlink-attributes.ts";
import { NetlinkWriter } from "./netlink-writer.ts";
import { areDistinct, joinElements, type RawElement, readElements, writeElement } from "./nft-elements.ts";
import { writeRule } from "./nft-expressions.ts";

// linux/netfilter/nfnetlink.h, nf_tables.h
const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNLGRP_NFTABLES = 7;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_GETRULE = 7;
const NFT_MSG_DELRULE = 8;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_GETSETELEM = 13;
const NFT_MSG_DELSETELEM = 14;
const NFT_MSG_NEWGEN = 15;
const NFT_MSG_GETGEN = 16;
const NFTA_TABLE_NAME = 1;
const NFTA_GEN_ID = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFPROTO: Record<IpFamily, number> = { 4: 2, 6: 10 };

/** The length of an attribute is 16 bits; a little less leaves room for the largest element. */
const largestList = 65_000;

/** What a batch takes about. */
const bytesPerBatch = 64;
const bytesPerRun = 96;
const bytesPerElement = 112;
const bytesPerRule = 640;

/** Elements of one set that are added or deleted together. */
export interface ElementRun {
  readonly family: IpFamily;
  readonly table: string;
  readonly set: SetDefinition;
  readonly verb: "add" | "delete";
  readonly elements: readonly Element[];
}

/** Chains that are added to a table, each after those it names: none of them is there, and `isWritable` holds for all of their rules. */
export interface ChainRun {
  readonly family: IpFamily;
  readonly table: string;
  readonly chains: readonly Chain[];
}

/** The kernel refused a batch; nothing of it is in force. */
export class BatchRefused extends Error {
  readonly code: string;
  /** The element it stopped at; undefined when the kernel did not say or it was none. */
  readonly element: Element | undefined;
  constructor(code: string, text: string, element: Element | undefined) {
    super(
      `nf_tables: ${code}${text === "" ? "" : ` (${text})`}${element === undefined ? "" : ` at ${element.set} ${element.key.join(" . ")}`}`,
    );
    this.name = "BatchRefused";
    this.code = code;
    this.element = element;
  }
}

export interface WrittenMessage {
  readonly start: number;
  readonly run: ElementRun;
  /** Where each element starts, from the start of the message. */
  readonly offsets: readonly number[];
  readonly first: number;
}

/** A transaction, written and not yet sent. */
export interface WrittenBatch {
  readonly bytes: Uint8Array;
  /** How many elements it adds and deletes, and rules it adds. */
  readonly size: number;
  readonly messages: ReadonlyMap<number, WrittenMessage>;
}

/** A dump takes a few hundredths of a second for ten thousand elements, and a table that grows about as long. */
const dumpTries = 30;

/** nf_tables of one network namespace: that of the thread which opens it. */
export class NftNetlink {
  readonly #socket = new NetlinkSocket(netlinkFamily.netfilter);
  /** Opened with the other, so that both are in the same namespace. */
  readonly #listener = new NetlinkSocket(netlinkFamily.netfilter);
  #listening = false;
  #commits = 0;
  /** Set when notifications may have been missed. */
  #missed = false;

  /** How many transactions of this object are in force. */
  get commits(): number {
    return this.#commits;
  }

  /** Writes one atomic transaction: chains, then elements. What it changes need not be there yet. */
  write(runs: readonly ElementRun[], additions: readonly ChainRun[] = []): WrittenBatch {
    const elements = runs.reduce((n, run) => n + run.elements.length, 0);
    const rules = additions.reduce((n, { chains }) => n + chains.reduce((m, chain) => m + 1 + chain.rules.length, 0), 0);
    const size = elements + rules;
    // as large as it will be: memory outside of the heap, 64 KiB a change, had the garbage collector look through everything
    const w = new NetlinkWriter(bytesPerBatch + runs.length * bytesPerRun + elements * bytesPerElement + rules * bytesPerRule);
    const messages = new Map<number, WrittenMessage>();
    this.#bound(w, NFNL_MSG_BATCH_BEGIN);
    for (const { family, table, chains } of additions) {
      for (const { name } of chains) this.#chain(w, family, table, name);
      for (const { name, rules: of } of chains) for (const rule of of) this.#rule(w, { family, table, chain: name }, rule);
    }
    for (const run of runs) {
      for (let i = 0; i < run.elements.length; ) {
        const sequence = this.#socket.nextSequence();
        const type = run.verb === "add" ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
        w.begin((NFNL_SUBSYS_NFTABLES << 8) | type, NLM_F_REQUEST | (run.verb === "add" ? NLM_F_CREATE : 0), sequence);
        const start = w.messageStart;
        w.u8(NFPROTO[run.family], 0, 0, 0);
        w.string(NFTA_SET_ELEM_LIST_TABLE, run.table);
        w.string(NFTA_SET_ELEM_LIST_SET, run.set.name);
        const list = w.open(NFTA_SET_ELEM_LIST_ELEMENTS | nested);
        const offsets: number[] = [];
        const first = i;
        for (; i < run.elements.length && w.length - list < largestList - 512; i++) {
          const element = run.elements[i];
          if (element === undefined) break;
          offsets.push(w.length - start);
          writeElement(w, run.set, element);
        }
        w.close(list);
        w.end();
        messages.set(sequence, { start, run, offsets, first });
      }
    }
    if (size === 0) return { bytes: new Uint8Array(), size, messages };
    w.addFlags(NLM_F_ACK); // of the last message only: an overflow of answers would hide whether all was accepted
    this.#bound(w, NFNL_MSG_BATCH_END);
    return { bytes: w.bytes(), size, messages };
  }

  /** Makes it so, all or nothing. Throws BatchRefused or NetlinkFault. */
  commit({ bytes, size, messages }: WrittenBatch): void {
    if (size === 0) return;
    const [error] = this.#socket.transact(bytes);
    if (error === undefined) {
      this.#commits++;
      return;
    }
    const at = messages.get(error.sequence);
    throw new BatchRefused(error.code, error.text, at === undefined ? undefined : elementAt(at, error.offset));
  }

  /**
   * With everything in it, in two transactions: for some milliseconds of the second the elements are gone and packets still run through rules
   * that miss them, so the rules go in the first. Throws BatchRefused ENOENT when there is no such table.
   */
  deleteTable(family: IpFamily, table: string): void {
    for (const message of [NFT_MSG_DELRULE, NFT_MSG_DELTABLE]) this.#deleteOf(message, family, table);
  }

  #deleteOf(message: number, family: IpFamily, table: string): void {
    const w = new NetlinkWriter();
    this.#bound(w, NFNL_MSG_BATCH_BEGIN);
    w.begin((NFNL_SUBSYS_NFTABLES << 8) | message, NLM_F_REQUEST | NLM_F_ACK, this.#socket.nextSequence());
    w.u8(NFPROTO[family], 0, 0, 0);
    w.string(NFTA_TABLE_NAME, table);
    w.end();
    this.#bound(w, NFNL_MSG_BATCH_END);
    const [error] = this.#socket.transact(w.bytes());
    if (error !== undefined) throw new BatchRefused(error.code, error.text, undefined);
    this.#commits++;
  }

  hasTable(family: IpFamily, table: string): boolean {
    const wanted = this.#dump(family, NFT_MSG_GETTABLE, undefined, undefined);
    return wanted.some((m) => attribute(m, NFTA_TABLE_NAME) === table);
  }

  /** The elements of a set. Throws NetlinkFault: ENOENT when there is no such set, EAGAIN while its table does not come to rest. */
  elements(family: IpFamily, table: string, set: SetDefinition): readonly Element[] {
    for (let tries = 0; tries < dumpTries; tries++) {
      const raw = this.#rawElements(family, table, set);
      if (areDistinct(raw)) return joinElements(set, raw);
    }
    throw new NetlinkFault("dump of a set", constants.errno.EAGAIN);
  }

  #rawElements(family: IpFamily, table: string, set: SetDefinition): readonly RawElement[] {
    const raw: RawElement[] = [];
    for (const message of this.#dump(family, NFT_MSG_GETSETELEM, table, set.name)) {
      for (const [type, value] of readAttributes(message.body, 4)) {
        if (type === NFTA_SET_ELEM_LIST_ELEMENTS) raw.push(...readElements(family, set, value));
      }
    }
    return raw;
  }

  /** A number that changes when a chain or rule of the table does. */
  fingerprint(family: IpFamily, table: string): number {
    const parts: string[] = [];
    for (const message of this.#dump(family, NFT_MSG_GETCHAIN, table, undefined)) {
      const of = attributes(message);
      if (text(of.get(NFTA_CHAIN_TABLE)) !== table) continue;
      parts.push(`chain ${text(of.get(NFTA_CHAIN_NAME))} ${of.get(NFTA_CHAIN_HOOK)?.toString("latin1") ?? ""}`);
    }
    for (const message of this.#dump(family, NFT_MSG_GETRULE, table, undefined)) {
      const of = attributes(message);
      if (text(of.get(NFTA_RULE_TABLE)) !== table) continue;
      parts.push(`${text(of.get(NFTA_RULE_CHAIN))} ${of.get(NFTA_RULE_EXPRESSIONS)?.toString("latin1") ?? ""}`);
    }
    return fnv1a(parts.join("\n"));
  }

  /** Counts committed transactions of this network namespace, by anybody. */
  generation(): number {
    const w = new NetlinkWriter(64);
    w.begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, NLM_F_REQUEST, this.#socket.nextSequence());
    w.u8(0, 0, 0, 0);
    w.end();
    this.#socket.drain();
    this.#socket.send(w.bytes());
    for (const message of this.#socket.receive() ?? []) {
      for (const [type, value] of readAttributes(message.body, 4)) if (type === NFTA_GEN_ID) return value.readUInt32BE(0);
    }
    return 0;
  }

  /** Starts to hear of changes; see `foreignTables`. */
  listen(): void {
    if (!this.#listening) this.#listener.subscribe(NFNLGRP_NFTABLES);
    this.#listening = true;
  }

  /** Runs something that changes much; what others change meanwhile is noticed by the count of transactions. */
  deaf<T>(commits: number, change: () => T): T {
    const listener = this.#listener;
    if (!this.#listening) return change();
    const before = this.generation();
    listener.unsubscribe(NFNLGRP_NFTABLES);
    try {
      return change();
    } finally {
      listener.subscribe(NFNLGRP_NFTABLES);
      if (this.generation() - before > commits) this.#missed = true;
    }
  }

  /** Tables that others changed since the last call; `undefined` in it: notifications were lost, any may have. Own changes are not reported. */
  foreignTables(): ReadonlySet<string | undefined> {
    const found = new Set<string | undefined>();
    if (this.#missed) found.add(undefined);
    this.#missed = false;
    const listener = this.#listener;
    for (;;) {
      let messages: readonly NetlinkMessage[] | undefined;
      try {
        messages = listener.receive();
      } catch (error) {
        if (!(error instanceof NetlinkFault && error.code === "ENOBUFS")) throw error;
        found.add(undefined);
        continue;
      }
      if (messages === undefined) return found;
      for (const message of messages) {
        if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES || (message.type & 0xff) === NFT_MSG_NEWGEN) continue;
        // the table's name is attribute 1 of tables, chains, rules, sets and element lists alike
        if (message.port !== this.#socket.port) found.add(attribute(message, NFTA_TABLE_NAME));
      }
    }
  }

  #chain(w: NetlinkWriter, family: IpFamily, table: string, name: string): void {
    w.begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWCHAIN, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, this.#socket.nextSequence());
    w.u8(NFPROTO[family], 0, 0, 0);
    w.string(NFTA_CHAIN_TABLE, table);
    w.string(NFTA_CHAIN_NAME, name);
    w.end();
  }

  #rule(w: NetlinkWriter, at: { readonly family: IpFamily; readonly table: string; readonly chain: string }, rule: Rule): void {
    w.begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWRULE, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND, this.#socket.nextSequence());
    w.u8(NFPROTO[at.family], 0, 0, 0);
    w.string(NFTA_RULE_TABLE, at.table);
    w.string(NFTA_RULE_CHAIN, at.chain);
    const list = w.open(NFTA_RULE_EXPRESSIONS | nested);
    writeRule(w, at.family, rule);
    w.close(list);
    w.end();
  }

  /** Begins or ends a batch. */
  #bound(w: NetlinkWriter, type: number): void {
    w.begin(type, NLM_F_REQUEST, this.#socket.nextSequence());
    w.u8(0, 0);
    w.u16be(NFNL_SUBSYS_NFTABLES);
    w.end();
  }

  close(): void {
    this.#socket.close();
    this.#listener.close();
  }

  #dump(family: IpFamily, type: number, table: string | undefined, set: string | undefined): readonly NetlinkMessage[] {
    const w = new NetlinkWriter(256);
    w.begin((NFNL_SUBSYS_NFTABLES << 8) | type, NLM_F_REQUEST | NLM_F_DUMP, this.#socket.nextSequence());
    w.u8(NFPROTO[family], 0, 0, 0);
    if (table !== undefined) w.string(1, table);
    if (set !== undefined) w.string(2, set);
    w.end();
    return this.#socket.dump(w.bytes());
  }
}

function elementAt(message: WrittenMessage, offset: number | undefined): Element | undefined {
  if (message.offsets.length === 1) return message.run.elements[message.first];
  if (offset === undefined) return undefined;
  const index = message.offsets.findLastIndex((start) => start <= offset);
  return index < 0 ? undefined : message.run.elements[message.first + index];
}

function attributes(message: NetlinkMessage): ReadonlyMap<number, Buffer> {
  return new Map(readAttributes(message.body, 4));
}

function attribute(message: NetlinkMessage, wanted: number): string | undefined {
  for (const [type, value] of readAttributes(message.body, 4)) if (type === wanted) return readString(value);
  return undefined;
}

function text(value: Buffer | undefined): string {
  return value === undefined ? "" : readString(value);
}
