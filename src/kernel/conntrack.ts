import { type Ip, type IpFamily, ipBytes, ipFromBytes } from "../base/ip.ts";
import { NetlinkSocket, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, netlinkFamily } from "./netlink.ts";
import { endOfAttribute, findAttribute, nested, readAttributes } from "./netlink-attributes.ts";
import { NetlinkWriter } from "./netlink-writer.ts";
import { readSysctl } from "./sysctl.ts";

// linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const CTA_TUPLE_IP = 1;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const IPPROTO_UDP = 17;
const NFPROTO: Record<IpFamily, number> = { 4: 2, 6: 10 };
// net/netfilter/nf_internals.h: what of a tuple a dump is to be compared with
const CTA_FILTER_F_IP_SRC = 1 << 0;
const CTA_FILTER_F_IP_DST = 1 << 1;
const CTA_FILTER_F_PROTO_NUM = 1 << 3;

/** Flows that were sent to an address, or that an address answers. */
export interface FlowPart {
  readonly end: "to" | "answers";
  readonly ip: Ip;
}

/** A UDP flow the kernel keeps: where its first packet was sent, and who answers. */
export interface UdpFlow {
  readonly family: IpFamily;
  readonly to: Ip;
  readonly toPort: number;
  readonly answers: Ip;
  readonly answersPort: number;
  /** The attributes that name it to the kernel. */
  readonly name: readonly (readonly [type: number, value: Buffer])[];
}

/** What connection tracking keeps, of any protocol: where its first packet was sent. */
export interface TrackedConnection {
  /** IPPROTO_TCP and so on. */
  readonly protocol: number;
  readonly to: Ip;
  /** 0 where the protocol has none. */
  readonly toPort: number;
}

/** Connection tracking of the network namespace of the thread that opens it. */
export class Conntrack {
  readonly #socket = new NetlinkSocket(netlinkFamily.netfilter);

  /**
   * UDP flows of a family, all or a part. The kernel looks through its whole table, tells (before 5.8) all of it, and what was
   * not asked for is left out here. Throws NetlinkFault.
   */
  udpFlows(family: IpFamily, part?: FlowPart): readonly UdpFlow[] {
    const w = new NetlinkWriter(128);
    w.begin((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, this.#socket.nextSequence());
    w.u8(NFPROTO[family], 0, 0, 0);
    writeFilter(w, family, part);
    w.end();
    const flows: UdpFlow[] = [];
    for (const message of this.#socket.dump(w.bytes())) {
      const attributes = new Map(readAttributes(message.body, 4));
      const original = readTuple(attributes.get(CTA_TUPLE_ORIG));
      const reply = readTuple(attributes.get(CTA_TUPLE_REPLY));
      if (original === undefined || reply === undefined || original.protocol !== IPPROTO_UDP) continue;
      if (part !== undefined && (part.end === "to" ? original.destination : reply.source) !== part.ip) continue;
      const name = [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE].flatMap((type) => {
        const value = attributes.get(type);
        return value === undefined ? [] : [[type, value] as const];
      });
      flows.push({
        family,
        to: original.destination,
        toPort: original.destinationPort,
        answers: reply.source,
        answersPort: reply.sourcePort,
        name,
      });
    }
    return flows;
  }

  /** How full the table of this thread's network namespace is. */
  size(): { readonly entries: number; readonly limit: number } | undefined {
    const [entries, limit] = ["count", "max"].map((name) => readSysctl(`net.netfilter.nf_conntrack_${name}`));
    return entries === undefined || limit === undefined ? undefined : { entries: Number(entries), limit: Number(limit) };
  }

  /**
   * Every connection, a few at a time. Nothing else may be asked of this object before the last one. Throws NetlinkFault. A busy
   * node has a quarter of a million: nothing is made of the rest of an entry, and addresses that come again are made once.
   */
  *connections(): Iterable<readonly TrackedConnection[]> {
    const w = new NetlinkWriter(64);
    w.begin((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, this.#socket.nextSequence());
    w.u8(0, 0, 0, 0);
    w.end();
    const addresses = new AddressTexts();
    for (const messages of this.#socket.dumpParts(w.bytes())) {
      const found: TrackedConnection[] = [];
      for (const { body } of messages) {
        const tuple = findAttribute(body, CTA_TUPLE_ORIG, 4, body.length);
        if (tuple < 0) continue;
        const end = endOfAttribute(body, tuple);
        const to = addressAt(body, tuple, end, destinations);
        if (to < 0) continue;
        const protocol = protocolAt(body, tuple, end);
        found.push({ protocol, to: addresses.textOf(body, to), toPort: portAt(body, tuple, end, CTA_PROTO_DST_PORT) });
      }
      yield found;
    }
  }

  /** Deletes flows; how many there still were. */
  delete(flows: readonly UdpFlow[]): number {
    let deleted = 0;
    for (const flow of flows) {
      const w = new NetlinkWriter(256);
      w.begin((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, this.#socket.nextSequence());
      w.u8(NFPROTO[flow.family], 0, 0, 0);
      for (const [type, value] of flow.name) {
        const at = w.open(type === CTA_TUPLE_ORIG ? type | nested : type);
        w.raw(value);
        w.close(at);
      }
      w.end();
      // a flow may end by itself meanwhile
      if (this.#socket.transact(w.bytes()).length === 0) deleted++;
    }
    return deleted;
  }

  close(): void {
    this.#socket.close();
  }
}

/** UDP, and where asked one address of one of the two tuples. */
function writeFilter(w: NetlinkWriter, family: IpFamily, part: FlowPart | undefined): void {
  const answers = part?.end === "answers";
  // of IPv6 the kernel (ctnetlink_filter_match_tuple, up to 6.18 at least) leaves out exactly what was asked for
  const address = part === undefined || family === 6 ? 0 : answers ? CTA_FILTER_F_IP_SRC : CTA_FILTER_F_IP_DST;
  const filter = w.open(CTA_FILTER | nested);
  const flags = w.open(answers ? CTA_FILTER_REPLY_FLAGS : CTA_FILTER_ORIG_FLAGS);
  w.u32(CTA_FILTER_F_PROTO_NUM | address);
  w.close(flags);
  w.close(filter);
  const tuple = w.open((answers ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG) | nested);
  if (part !== undefined && address !== 0) {
    const ips = w.open(CTA_TUPLE_IP | nested);
    const ip = w.open(answers ? CTA_IP_V4_SRC : CTA_IP_V4_DST);
    w.raw(ipBytes(part.ip));
    w.close(ip);
    w.close(ips);
  }
  const protocol = w.open(CTA_TUPLE_PROTO | nested);
  const number = w.open(CTA_PROTO_NUM);
  w.u8(IPPROTO_UDP);
  w.close(number);
  w.close(protocol);
  w.close(tuple);
}

interface Tuple {
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

function readTuple(tuple: Buffer | undefined): Tuple | undefined {
  if (tuple === undefined) return undefined;
  const end = tuple.length;
  const [source, destination] = [addressAt(tuple, 0, end, sources), addressAt(tuple, 0, end, destinations)];
  if (source < 0 || destination < 0) return undefined;
  const text = (at: number): Ip => ipFromBytes(tuple.subarray(at, endOfAttribute(tuple, at)));
  return {
    protocol: protocolAt(tuple, 0, end),
    source: text(source),
    destination: text(destination),
    sourcePort: portAt(tuple, 0, end, CTA_PROTO_SRC_PORT),
    destinationPort: portAt(tuple, 0, end, CTA_PROTO_DST_PORT),
  };
}

/** The attributes of one end's address, in either family. */
const sources = [CTA_IP_V4_SRC, CTA_IP_V6_SRC] as const;
const destinations = [CTA_IP_V4_DST, CTA_IP_V6_DST] as const;

/** Where the address is, in the tuple from `start` to `end`; -1: it has none. */
function addressAt(body: Buffer, start: number, end: number, [v4, v6]: typeof sources | typeof destinations): number {
  const ips = findAttribute(body, CTA_TUPLE_IP, start, end);
  if (ips < 0) return -1;
  const at = findAttribute(body, v4, ips, endOfAttribute(body, ips));
  return at < 0 ? findAttribute(body, v6, ips, endOfAttribute(body, ips)) : at;
}

function protocolAt(body: Buffer, start: number, end: number): number {
  const of = findAttribute(body, CTA_TUPLE_PROTO, start, end);
  const at = of < 0 ? -1 : findAttribute(body, CTA_PROTO_NUM, of, endOfAttribute(body, of));
  return at < 0 ? 0 : (body[at] ?? 0);
}

/** 0 where the protocol has none. */
function portAt(body: Buffer, start: number, end: number, type: number): number {
  const of = findAttribute(body, CTA_TUPLE_PROTO, start, end);
  const at = of < 0 ? -1 : findAttribute(body, type, of, endOfAttribute(body, of));
  return at < 0 ? 0 : body.readUInt16BE(at);
}

/** More than most nodes send to; then it begins anew. */
const mostAddresses = 10_000;

/** The text of an address, made once. */
class AddressTexts {
  readonly #texts = new Map<string, Ip>();

  /** Of the address at `start`. */
  textOf(body: Buffer, start: number): Ip {
    const end = endOfAttribute(body, start);
    const key = body.toString("latin1", start, end);
    const known = this.#texts.get(key);
    if (known !== undefined) return known;
    if (this.#texts.size >= mostAddresses) this.#texts.clear();
    const text = ipFromBytes(body.subarray(start, end));
    this.#texts.set(key, text);
    return text;
  }
}
