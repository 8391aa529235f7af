import type { Key, KeyField, Rule, ScratchSource, Statement } from "../../rules/nftables/statement.ts";
import type { IpFamily } from "../base/ip.ts";
import { nested } from "./netlink-attributes.ts";
import type { NetlinkWriter } from "./netlink-writer.ts";

// linux/netfilter/nf_tables.h
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
const NFT_JUMP = -3;
const NFT_GOTO = -4;
const NF_DROP = 0;
const NFT_REG_VERDICT = 0;
const NFT_REG32_00 = 8;
const payload = { dreg: 1, base: 2, offset: 3, length: 4, network: 1, transport: 2 } as const;
const meta = { dreg: 1, key: 2, sreg: 3, priority: 2, mark: 3, iifname: 6, l4proto: 16 } as const;
const lookup = { set: 1, sreg: 2, dreg: 3, flags: 5, inverted: 1 } as const;
const dynset = { set: 1, operation: 3, key: 4, data: 5, timeout: 6, update: 1, delete: 2 } as const;
const numgen = { dreg: 1, modulus: 2, type: 3, offset: 4, random: 1 } as const;
const hash = { sreg: 1, dreg: 2, length: 3, modulus: 4, seed: 5, offset: 6, type: 7, jenkins: 0 } as const;
const immediate = { dreg: 1, data: 2 } as const;
const bitwise = { sreg: 1, dreg: 2, length: 3, mask: 4, xor: 5 } as const;
const cmp = { sreg: 1, operation: 2, data: 3, equal: 0, unequal: 1 } as const;
const IFNAMSIZ = 16;

/** Registers are counted in words of 4 bytes here. What is computed goes to the first; keys of what is computed there begin at the fifth. */
const first = 0;
const second = 4;

const written: readonly Statement["kind"][] = [
  ...(["match-set", "match-interface", "set-scratch", "set-mark", "remember", "forget", "drop", "jump", "goto"] as const),
];

/** Whether `writeRule` can write all of a rule. The others stand in chains that are made with their table, by the nft command. */
export function isWritable({ statements }: Rule): boolean {
  return statements.every(({ kind }) => written.includes(kind));
}

/** The expressions of a rule, as a list's content and exactly as the nft command writes them: nobody can tell who made a rule. */
export function writeRule(w: NetlinkWriter, family: IpFamily, { statements }: Rule): void {
  const expressions = new ExpressionWriter(w, family);
  for (const statement of statements) writeStatement(expressions, statement);
}

function writeStatement(e: ExpressionWriter, s: Statement): void {
  switch (s.kind) {
    case "match-set":
      e.key(s.key, first);
      e.lookup(s.set, undefined, s.negated);
      return;
    case "match-interface": {
      const { kind, name } = s.interface;
      const bytes = Buffer.from(name, "latin1");
      const value = kind === "prefix" ? bytes : Buffer.concat([bytes], IFNAMSIZ);
      e.meta(meta.iifname, first);
      e.compare(value, s.negated);
      return;
    }
    case "set-scratch":
      e.source(s.source);
      e.setMeta(meta.priority);
      return;
    case "set-mark":
      e.meta(meta.mark, first);
      e.setBits(s.bit);
      e.setMeta(meta.mark);
      return;
    case "remember":
      e.key(s.key, first);
      e.random(s.modulus, s.offset, second);
      e.dynset(s.map, dynset.update, s.timeoutSeconds * 1000);
      return;
    case "forget":
      e.key(s.key, first);
      e.meta(meta.priority, second);
      e.dynset(s.map, dynset.delete, undefined);
      return;
    case "drop":
      e.verdict(NF_DROP, undefined);
      return;
    case "jump":
      e.verdict(NFT_JUMP, s.chain);
      return;
    case "goto":
      e.verdict(NFT_GOTO, s.chain);
      return;
    default:
      throw new Error(`${s.kind} is the nft command's to write`);
  }
}

class ExpressionWriter {
  readonly #w: NetlinkWriter;
  readonly #family: IpFamily;

  constructor(w: NetlinkWriter, family: IpFamily) {
    this.#w = w;
    this.#family = family;
  }

  /** Loads the fields of a key side by side, each in whole words. */
  key(key: Key, word: number): void {
    let at = word;
    for (const field of key) {
      this.#field(field, at);
      at += this.#words(field);
    }
  }

  meta(key: number, word: number): void {
    this.#expression("meta", () => {
      this.#number(meta.key, key);
      this.#number(meta.dreg, register(word));
    });
  }

  setMeta(key: number): void {
    this.#expression("meta", () => {
      this.#number(meta.key, key);
      this.#number(meta.sreg, register(first));
    });
  }

  source(source: ScratchSource): void {
    switch (source.kind) {
      case "random":
        this.random(source.modulus, source.offset, first);
        return;
      case "map":
        this.key(source.key, first);
        this.lookup(source.map, first, false);
        return;
      case "hash":
      case "hash-slot":
        this.key(source.key, second);
        this.#hash(source);
        return;
    }
  }

  random(modulus: number, offset: number, word: number): void {
    this.#expression("numgen", () => {
      this.#number(numgen.dreg, register(word));
      this.#number(numgen.modulus, modulus);
      this.#number(numgen.type, numgen.random);
      this.#number(numgen.offset, offset);
    });
  }

  /** `to`: the word that gets the value; undefined: of a set, that has none. */
  lookup(set: string, to: number | undefined, inverted: boolean): void {
    this.#expression("lookup", () => {
      this.#w.string(lookup.set, set);
      this.#number(lookup.sreg, register(first));
      if (to !== undefined) this.#number(lookup.dreg, register(to));
      if (inverted) this.#number(lookup.flags, lookup.inverted);
    });
  }

  dynset(set: string, operation: number, timeoutMs: number | undefined): void {
    this.#expression("dynset", () => {
      this.#w.string(dynset.set, set);
      this.#number(dynset.operation, operation);
      this.#number(dynset.key, register(first));
      this.#number(dynset.data, register(second));
      if (timeoutMs === undefined) return;
      const at = this.#w.open(dynset.timeout);
      this.#w.u32be(Math.floor(timeoutMs / 2 ** 32));
      this.#w.u32be(timeoutMs % 2 ** 32);
      this.#w.close(at);
    });
  }

  compare(value: Uint8Array, negated: boolean): void {
    this.#expression("cmp", () => {
      this.#number(cmp.sreg, register(first));
      this.#number(cmp.operation, negated ? cmp.unequal : cmp.equal);
      this.#data(cmp.data, value);
    });
  }

  setBits(bits: number): void {
    this.#expression("bitwise", () => {
      this.#number(bitwise.sreg, register(first));
      this.#number(bitwise.dreg, register(first));
      this.#number(bitwise.length, 4);
      this.#data(bitwise.mask, inHostOrder(~bits));
      this.#data(bitwise.xor, inHostOrder(bits));
    });
  }

  verdict(code: number, chain: string | undefined): void {
    this.#expression("immediate", () => {
      this.#number(immediate.dreg, NFT_REG_VERDICT);
      const data = this.#w.open(immediate.data | nested);
      const verdict = this.#w.open(NFTA_DATA_VERDICT | nested);
      this.#number(NFTA_VERDICT_CODE, code);
      if (chain !== undefined) this.#w.string(NFTA_VERDICT_CHAIN, chain);
      this.#w.close(verdict);
      this.#w.close(data);
    });
  }

  #hash(source: Extract<ScratchSource, { kind: "hash" | "hash-slot" }>): void {
    this.#expression("hash", () => {
      this.#number(hash.sreg, register(second));
      this.#number(hash.dreg, register(first));
      this.#number(hash.length, 4 * source.key.reduce((n, field) => n + this.#words(field), 0));
      this.#number(hash.modulus, source.modulus);
      this.#number(hash.seed, source.seed);
      if (source.kind === "hash-slot") this.#number(hash.offset, source.offset);
      this.#number(hash.type, hash.jenkins);
    });
  }

  #field(field: KeyField, word: number): void {
    const [source, destination, length] = this.#family === 4 ? ([12, 16, 4] as const) : ([8, 24, 16] as const);
    if (field === "l4proto") this.meta(meta.l4proto, word);
    else if (field === "scratch") this.meta(meta.priority, word);
    else if (field === "saddr") this.#payload(payload.network, source, length, word);
    else if (field === "daddr") this.#payload(payload.network, destination, length, word);
    else this.#payload(payload.transport, field === "sport" ? 0 : 2, 2, word);
  }

  #words(field: KeyField): number {
    return this.#family === 6 && (field === "saddr" || field === "daddr") ? 4 : 1;
  }

  #payload(base: number, offset: number, length: number, word: number): void {
    this.#expression("payload", () => {
      this.#number(payload.dreg, register(word));
      this.#number(payload.base, base);
      this.#number(payload.offset, offset);
      this.#number(payload.length, length);
    });
  }

  #expression(name: string, content: () => void): void {
    const element = this.#w.open(NFTA_LIST_ELEM | nested);
    this.#w.string(NFTA_EXPR_NAME, name);
    const data = this.#w.open(NFTA_EXPR_DATA | nested);
    content();
    this.#w.close(data);
    this.#w.close(element);
  }

  #number(type: number, value: number): void {
    const at = this.#w.open(type);
    this.#w.u32be(value);
    this.#w.close(at);
  }

  #data(type: number, value: Uint8Array): void {
    const outer = this.#w.open(type | nested);
    const inner = this.#w.open(NFTA_DATA_VALUE);
    this.#w.raw(value);
    this.#w.close(inner);
    this.#w.close(outer);
  }
}

function register(word: number): number {
  return NFT_REG32_00 + word;
}

function inHostOrder(bits: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(bits >>> 0);
  return bytes;
}
