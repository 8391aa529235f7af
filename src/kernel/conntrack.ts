import { type Ip, type IpFamily, ipBytes, ipFromBytes } from "../base/ip.ts";
import {
  findAttribute,
  NetlinkSocket,
  NetlinkWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  nested,
  netlinkFamily,
  readAttributes,
  type Span,
} from "./netlink.ts";
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
        const tuple = findAttribute(body, CTA_TUPLE_ORIG, { start: 4, end: body.length });
        const to = tuple === undefined ? undefined : addressIn(body, tuple, "destination");
        if (tuple === undefined || to === undefined) continue;
        const { protocol, destinationPort } = portsIn(body, tuple);
        found.push({ protocol, to: addresses.textOf(body, to), toPort: destinationPort });
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

interface Ports {
  readonly protocol: number;
  /** 0 where the protocol has none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

interface Tuple extends Ports {
  readonly source: Ip;
  readonly destination: Ip;
}

function readTuple(tuple: Buffer | undefined): Tuple | undefined {
  if (tuple === undefined) return undefined;
  const all = { start: 0, end: tuple.length };
  const [source, destination] = [addressIn(tuple, all, "source"), addressIn(tuple, all, "destination")];
  if (source === undefined || destination === undefined) return undefined;
  const text = ({ start, end }: Span): Ip => ipFromBytes(tuple.subarray(start, end));
  return { ...portsIn(tuple, all), source: text(source), destination: text(destination) };
}

const addressTypes = { source: [CTA_IP_V4_SRC, CTA_IP_V6_SRC], destination: [CTA_IP_V4_DST, CTA_IP_V6_DST] } as const;

function addressIn(body: Buffer, tuple: Span, end: "source" | "destination"): Span | undefined {
  const ips = findAttribute(body, CTA_TUPLE_IP, tuple);
  if (ips === undefined) return undefined;
  const [v4, v6] = addressTypes[end];
  return findAttribute(body, v4, ips) ?? findAttribute(body, v6, ips);
}

function portsIn(body: Buffer, tuple: Span): Ports {
  const of = findAttribute(body, CTA_TUPLE_PROTO, tuple) ?? { start: 0, end: 0 };
  const port = (type: number): number => {
    const at = findAttribute(body, type, of);
    return at === undefined ? 0 : body.readUInt16BE(at.start);
  };
  const number = findAttribute(body, CTA_PROTO_NUM, of);
  return {
    protocol: number === undefined ? 0 : (body[number.start] ?? 0),
    sourcePort: port(CTA_PROTO_SRC_PORT),
    destinationPort: port(CTA_PROTO_DST_PORT),
  };
}

/** More than most nodes send to; then it begins anew. */
const mostAddresses = 10_000;

/** The text of an address, made once. */
class AddressTexts {
  readonly #texts = new Map<string, Ip>();

  textOf(body: Buffer, { start, end }: Span): Ip {
    const key = body.toString("latin1", start, end);
    const known = this.#texts.get(key);
    if (known !== undefined) return known;
    if (this.#texts.size >= mostAddresses) this.#texts.clear();
    const text = ipFromBytes(body.subarray(start, end));
    this.#texts.set(key, text);
    return text;
  }
}
