import type { SetDefinition, SetEntry, SetField, SetType } from "../../rules/ipvs/values.ts";
import { type Protocol, protocols } from "../../rules/model/service-port.ts";
import { ipBytes, ipFamily, ipFromBytes } from "../base/ip.ts";
import { largestSet, type SetStep, setTypes } from "./ipset.ts";
import {
  NetlinkFault,
  type NetlinkMessage,
  NetlinkSocket,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  netlinkFamily,
} from "./netlink.ts";
import { nested, networkOrder, readAttributes, readString } from "./netlink-attributes.ts";
import { NetlinkWriter } from "./netlink-writer.ts";

// linux/netfilter/nfnetlink.h, linux/netfilter/ipset/ip_set.h
const NFNL_SUBSYS_IPSET = 6;
const IPSET_PROTOCOL_MIN = 6;
const IPSET_CMD_CREATE = 2;
const IPSET_CMD_DESTROY = 3;
const IPSET_CMD_LIST = 7;
const IPSET_CMD_ADD = 9;
const IPSET_CMD_DEL = 10;
const IPSET_CMD_TYPE = 13;
const IPSET_ATTR_PROTOCOL = 1;
const IPSET_ATTR_SETNAME = 2;
const IPSET_ATTR_TYPENAME = 3;
const IPSET_ATTR_REVISION = 4;
const IPSET_ATTR_FAMILY = 5;
const IPSET_ATTR_FLAGS = 6;
const IPSET_ATTR_DATA = 7;
const IPSET_ATTR_ADT = 8;
const IPSET_ATTR_LINENO = 9;
const IPSET_ATTR_REVISION_MIN = 10;
const IPSET_FLAG_LIST_SETNAME = 2;
const IPSET_ATTR_IP = 1;
const IPSET_ATTR_CIDR = 3;
const IPSET_ATTR_PORT = 4;
const IPSET_ATTR_PORT_TO = 5;
const IPSET_ATTR_PROTO = 7;
const IPSET_ATTR_CADT_FLAGS = 8;
const IPSET_ATTR_MAXELEM = 19;
const IPSET_ATTR_IP2 = 20;
const IPSET_ATTR_CIDR2 = 21;
const IPSET_ATTR_SKBMARK = 27;
const IPSET_FLAG_WITH_SKBINFO = 1 << 6;
const IPSET_ATTR_IPADDR_IPV4 = 1;
const IPSET_ATTR_IPADDR_IPV6 = 2;
const NFPROTO = { 4: 2, 6: 10 } as const;
const protocolNumbers: Record<Protocol, number> = { tcp: 6, udp: 17, sctp: 132 };

/** ip_set's own error numbers and what the command says for them. */
const refusals: Readonly<Record<number, string>> = {
  4098: "the kernel has no such type of set",
  4099: "there are too many sets",
  4100: "Set cannot be destroyed: it is in use by a kernel component",
  4103: "the entry is already added, or not added",
  4104: "the length of a network is invalid",
  4352: "Set is full, or the entry is not added",
};

/** Of each type a revision with all that is used here; newer ones make old ipset commands fail for everyone. */
const revisions: Readonly<Record<SetType, number>> = {
  "hash:ip": 4,
  "hash:net": 6,
  "hash:ip,port": 5,
  "hash:ip,port,ip": 5,
  "hash:ip,port,net": 7,
  "bitmap:port": 3,
};
const largestRequest = 256 * 1024;

export interface SetFailure {
  readonly step: SetStep;
  /** `ENOENT`, or a number of ip_set's own. */
  readonly code: string;
  readonly text: string;
}

/** ip_set of one network namespace: that of the thread which opens it. */
export class IpsetNetlink {
  readonly #socket = new NetlinkSocket(netlinkFamily.netfilter);
  readonly #revisions = new Map<string, number>();

  /** Sets whose name starts so, with their entries. */
  read(prefix: string): { readonly sets: readonly SetDefinition[]; readonly entries: readonly SetEntry[] } {
    const sets: SetDefinition[] = [];
    const entries: SetEntry[] = [];
    for (const name of this.#names(prefix)) {
      let set: SetDefinition | undefined;
      for (const message of this.#dump(name, 0)) {
        const of = new Map(readAttributes(message.body, 4));
        // only the first message of a set says what it is
        set ??= readDefinition(of);
        const list = of.get(IPSET_ATTR_ADT);
        if (set === undefined || list === undefined) continue;
        for (const [, value] of readAttributes(list, 0)) {
          const fields = readEntry(set.type, value);
          const mark = readMark(value);
          if (fields !== undefined) entries.push({ set: name, fields, ...(mark === undefined ? {} : { mark }) });
        }
      }
      if (set !== undefined) sets.push(set);
    }
    return { sets, entries };
  }

  /** Makes each change, in order, whether or not others failed; the failed ones. */
  commit(steps: readonly SetStep[]): readonly SetFailure[] {
    const failures: SetFailure[] = [];
    for (let i = 0; i < steps.length; ) {
      const w = new NetlinkWriter(4096);
      const sent = new Map<number, SetStep>();
      for (; i < steps.length && w.length < largestRequest; i++) {
        const step = steps[i];
        if (step === undefined) break;
        let revision = 0;
        if (step.verb === "create") {
          const found = this.#revision(step.set);
          if (found === undefined) {
            failures.push({ step, code: "ENOENT", text: `the kernel has no sets of type ${step.set.type}` });
            continue;
          }
          revision = found;
        }
        const sequence = this.#socket.nextSequence();
        sent.set(sequence, step);
        writeStep(w, step, revision, sequence);
      }
      if (sent.size === 0) continue;
      w.addFlags(NLM_F_ACK);
      for (const { sequence, code } of this.#socket.transact(w.bytes())) {
        const step = sent.get(sequence);
        const number = Number(/(\d+)$/.exec(code)?.[1] ?? 0);
        if (step !== undefined) failures.push({ step, code, text: refusals[number] ?? code });
      }
    }
    return failures;
  }

  close(): void {
    this.#socket.close();
  }

  #names(prefix: string): readonly string[] {
    const names = new Set<string>();
    for (const message of this.#dump(undefined, IPSET_FLAG_LIST_SETNAME)) {
      for (const [type, value] of readAttributes(message.body, 4)) if (type === IPSET_ATTR_SETNAME) names.add(readString(value));
    }
    return [...names].filter((n) => n.startsWith(prefix));
  }

  #dump(name: string | undefined, flags: number): readonly NetlinkMessage[] {
    const w = new NetlinkWriter(128);
    begin(w, IPSET_CMD_LIST, NLM_F_DUMP, this.#socket.nextSequence());
    if (name !== undefined) w.string(IPSET_ATTR_SETNAME, name);
    if (flags !== 0) writeU32(w, IPSET_ATTR_FLAGS, flags);
    w.end();
    try {
      return this.#socket.dump(w.bytes());
    } catch (error) {
      // it went away since it was named
      if (error instanceof NetlinkFault && error.code === "ENOENT") return [];
      throw error;
    }
  }

  /** Loads the module of the type where it must. */
  #revision(set: SetDefinition): number | undefined {
    const key = `${set.type} ${set.family ?? 0}`;
    const known = this.#revisions.get(key);
    if (known !== undefined) return known;
    const w = new NetlinkWriter(128);
    begin(w, IPSET_CMD_TYPE, NLM_F_ACK, this.#socket.nextSequence());
    w.string(IPSET_ATTR_TYPENAME, set.type);
    writeU8(w, IPSET_ATTR_FAMILY, set.family === undefined ? 0 : NFPROTO[set.family]);
    w.end();
    let replies: readonly NetlinkMessage[];
    try {
      replies = this.#socket.dump(w.bytes());
    } catch (error) {
      if (error instanceof NetlinkFault) return undefined;
      throw error;
    }
    for (const message of replies) {
      const of = new Map(readAttributes(message.body, 4));
      const largest = of.get(IPSET_ATTR_REVISION)?.[0];
      if (largest === undefined) continue;
      const revision = Math.max(of.get(IPSET_ATTR_REVISION_MIN)?.[0] ?? 0, Math.min(largest, revisions[set.type]));
      this.#revisions.set(key, revision);
      return revision;
    }
    return undefined;
  }
}

function begin(w: NetlinkWriter, command: number, flags: number, sequence: number): void {
  w.begin((NFNL_SUBSYS_IPSET << 8) | command, NLM_F_REQUEST | flags, sequence);
  w.u8(NFPROTO[4], 0, 0, 0);
  writeU8(w, IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL_MIN);
}

function writeStep(w: NetlinkWriter, step: SetStep, revision: number, sequence: number): void {
  switch (step.verb) {
    case "create": {
      begin(w, IPSET_CMD_CREATE, NLM_F_EXCL, sequence);
      w.string(IPSET_ATTR_SETNAME, step.set.name);
      w.string(IPSET_ATTR_TYPENAME, step.set.type);
      writeU8(w, IPSET_ATTR_REVISION, revision);
      writeU8(w, IPSET_ATTR_FAMILY, step.set.family === undefined ? 0 : NFPROTO[step.set.family]);
      const data = w.open(IPSET_ATTR_DATA | nested);
      if (step.set.type === "bitmap:port") {
        writePort(w, IPSET_ATTR_PORT, 0);
        writePort(w, IPSET_ATTR_PORT_TO, 65_535);
      } else {
        const at = w.open(IPSET_ATTR_MAXELEM | networkOrder);
        w.u32be(largestSet);
        w.close(at);
        if (step.set.marks === true) writeU32(w, IPSET_ATTR_CADT_FLAGS, IPSET_FLAG_WITH_SKBINFO);
      }
      w.close(data);
      break;
    }
    case "destroy":
      begin(w, IPSET_CMD_DESTROY, 0, sequence);
      w.string(IPSET_ATTR_SETNAME, step.set.name);
      break;
    case "add":
    case "delete": {
      begin(w, step.verb === "add" ? IPSET_CMD_ADD : IPSET_CMD_DEL, NLM_F_EXCL, sequence);
      w.string(IPSET_ATTR_SETNAME, step.entry.set);
      const data = w.open(IPSET_ATTR_DATA | nested);
      writeFields(w, step.entry.fields);
      if (step.verb === "add" && step.entry.mark !== undefined) {
        const at = w.open(IPSET_ATTR_SKBMARK | networkOrder);
        // the mark, and which of its bits count
        w.u32be(step.entry.mark);
        w.u32be(0xffff_ffff);
        w.close(at);
      }
      const line = w.open(IPSET_ATTR_LINENO | networkOrder);
      w.u32be(0);
      w.close(line);
      w.close(data);
      break;
    }
  }
  w.end();
}

function writeFields(w: NetlinkWriter, fields: readonly SetField[]): void {
  let addresses = 0;
  const address = (ip: string, bits: number | undefined): void => {
    const second = addresses++ > 0;
    const outer = w.open((second ? IPSET_ATTR_IP2 : IPSET_ATTR_IP) | nested);
    const inner = w.open((ipFamily(ip) === 4 ? IPSET_ATTR_IPADDR_IPV4 : IPSET_ATTR_IPADDR_IPV6) | networkOrder);
    w.raw(ipBytes(ip));
    w.close(inner);
    w.close(outer);
    if (bits !== undefined) writeU8(w, second ? IPSET_ATTR_CIDR2 : IPSET_ATTR_CIDR, bits);
  };
  for (const field of fields) {
    if (typeof field === "string") address(field, undefined);
    else if ("bits" in field) address(field.ip, field.bits);
    else {
      writePort(w, IPSET_ATTR_PORT, field.port);
      if (field.protocol !== undefined) writeU8(w, IPSET_ATTR_PROTO, protocolNumbers[field.protocol]);
    }
  }
}

function writeU8(w: NetlinkWriter, type: number, value: number): void {
  const at = w.open(type);
  w.u8(value);
  w.close(at);
}

function writeU32(w: NetlinkWriter, type: number, value: number): void {
  const at = w.open(type | networkOrder);
  w.u32be(value);
  w.close(at);
}

function writePort(w: NetlinkWriter, type: number, port: number): void {
  const at = w.open(type | networkOrder);
  w.u16be(port);
  w.close(at);
}

function readDefinition(of: ReadonlyMap<number, Buffer>): SetDefinition | undefined {
  const name = of.get(IPSET_ATTR_SETNAME);
  const typeName = of.get(IPSET_ATTR_TYPENAME);
  if (name === undefined || typeName === undefined) return undefined;
  const type = setTypes.find((t) => t === readString(typeName));
  if (type === undefined) return undefined;
  if (type === "bitmap:port") return { name: readString(name), type };
  const data = of.get(IPSET_ATTR_DATA);
  const flags = data === undefined ? undefined : new Map(readAttributes(data, 0)).get(IPSET_ATTR_CADT_FLAGS)?.readUInt32BE(0);
  const marks = ((flags ?? 0) & IPSET_FLAG_WITH_SKBINFO) === 0 ? {} : ({ marks: true } as const);
  return { name: readString(name), type, family: of.get(IPSET_ATTR_FAMILY)?.[0] === NFPROTO[6] ? 6 : 4, ...marks };
}

function readMark(bytes: Buffer): number | undefined {
  const mark = new Map(readAttributes(bytes, 0)).get(IPSET_ATTR_SKBMARK);
  return mark?.readUInt32BE(4) === 0xffff_ffff ? mark.readUInt32BE(0) : undefined;
}

function readEntry(type: SetType, bytes: Buffer): readonly SetField[] | undefined {
  const of = new Map(readAttributes(bytes, 0));
  const fields: SetField[] = [];
  let addresses = 0;
  for (const kind of type.slice(type.indexOf(":") + 1).split(",")) {
    if (kind === "port") {
      const port = of.get(IPSET_ATTR_PORT)?.readUInt16BE(0);
      const number = of.get(IPSET_ATTR_PROTO)?.[0];
      const protocol = protocols.find((p) => protocolNumbers[p] === number);
      if (port === undefined) return undefined;
      fields.push(protocol === undefined ? { port } : { protocol, port });
      continue;
    }
    const second = addresses++ > 0;
    const [inner] = readAttributes(of.get(second ? IPSET_ATTR_IP2 : IPSET_ATTR_IP) ?? Buffer.alloc(0), 0);
    if (inner === undefined) return undefined;
    const ip = ipFromBytes(inner[1]);
    const family = ipFamily(ip);
    const bits = of.get(second ? IPSET_ATTR_CIDR2 : IPSET_ATTR_CIDR)?.[0] ?? (family === 4 ? 32 : 128);
    fields.push(kind === "net" ? { ip, bits, family } : ip);
  }
  return fields;
}
