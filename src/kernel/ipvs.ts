import { matchFamily, type RealServer, type SchedulerFlags, type ServiceMatch, type VirtualService } from "../../rules/ipvs/values.ts";
import type { Protocol } from "../../rules/model/service-port.ts";
import { ipBytes, ipFromBytes } from "../base/ip.ts";
import { NetlinkFault, NetlinkSocket, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, netlinkFamily } from "./netlink.ts";
import { nested, readAttributes, readString } from "./netlink-attributes.ts";
import { NetlinkWriter } from "./netlink-writer.ts";

// linux/genetlink.h
const GENL_ID_CTRL = 0x10;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

// linux/ip_vs.h
const IPVS_GENL_NAME = "IPVS";
const IPVS_GENL_VERSION = 1;
const IPVS_CMD_NEW_SERVICE = 1;
const IPVS_CMD_SET_SERVICE = 2;
const IPVS_CMD_DEL_SERVICE = 3;
const IPVS_CMD_GET_SERVICE = 4;
const IPVS_CMD_NEW_DEST = 5;
const IPVS_CMD_SET_DEST = 6;
const IPVS_CMD_DEL_DEST = 7;
const IPVS_CMD_GET_DEST = 8;
const IPVS_CMD_SET_CONFIG = 12;
const IPVS_CMD_ATTR_SERVICE = 1;
const IPVS_CMD_ATTR_DEST = 2;
const IPVS_CMD_ATTR_TIMEOUT_TCP = 4;
const IPVS_CMD_ATTR_TIMEOUT_TCP_FIN = 5;
const IPVS_CMD_ATTR_TIMEOUT_UDP = 6;
const IPVS_SVC_ATTR_AF = 1;
const IPVS_SVC_ATTR_PROTOCOL = 2;
const IPVS_SVC_ATTR_ADDR = 3;
const IPVS_SVC_ATTR_PORT = 4;
const IPVS_SVC_ATTR_FWMARK = 5;
const IPVS_SVC_ATTR_SCHED_NAME = 6;
const IPVS_SVC_ATTR_FLAGS = 7;
const IPVS_SVC_ATTR_TIMEOUT = 8;
const IPVS_SVC_ATTR_NETMASK = 9;
const IPVS_DEST_ATTR_ADDR = 1;
const IPVS_DEST_ATTR_PORT = 2;
const IPVS_DEST_ATTR_FWD_METHOD = 3;
const IPVS_DEST_ATTR_WEIGHT = 4;
const IPVS_DEST_ATTR_U_THRESH = 5;
const IPVS_DEST_ATTR_L_THRESH = 6;
const IPVS_DEST_ATTR_ACTIVE_CONNS = 7;
const IPVS_DEST_ATTR_INACT_CONNS = 8;
const IPVS_DEST_ATTR_ADDR_FAMILY = 11;
const IP_VS_CONN_F_MASQ = 0;
const IP_VS_SVC_F_PERSISTENT = 1;
const schedulerFlagShift = 3; // IP_VS_SVC_F_SCHED1
const schedulerFlagMask = 7;
const AF_INET = 2;
const AF_INET6 = 10;
const protocolNumbers: Record<Protocol, number> = { tcp: 6, udp: 17, sctp: 132 };

/** One request is at most about this long; larger ones are sent in parts. */
const largestRequest = 256 * 1024;

/** One change of the table of virtual servers. */
export type IpvsStep =
  | { readonly verb: "add" | "change" | "delete"; readonly kind: "service"; readonly service: VirtualService }
  | { readonly verb: "add" | "change" | "delete"; readonly kind: "real"; readonly match: ServiceMatch; readonly real: RealServer };

export interface IpvsFailure {
  readonly step: IpvsStep;
  /** `EEXIST` and so on. */
  readonly code: string;
}

/** How long a connection without packets is kept; what is absent stays as it is. */
export interface IpvsTimeouts {
  readonly tcpSeconds?: number | undefined;
  /** After the first FIN. */
  readonly tcpFinSeconds?: number | undefined;
  readonly udpSeconds?: number | undefined;
}

export interface RealServerUse extends RealServer {
  readonly active: number;
  readonly inactive: number;
}

const serviceCommand = { add: IPVS_CMD_NEW_SERVICE, change: IPVS_CMD_SET_SERVICE, delete: IPVS_CMD_DEL_SERVICE };
const realCommand = { add: IPVS_CMD_NEW_DEST, change: IPVS_CMD_SET_DEST, delete: IPVS_CMD_DEL_DEST };

/** ip_vs of one network namespace: that of the thread which opens it. */
export class IpvsNetlink {
  readonly #socket = new NetlinkSocket(netlinkFamily.generic);
  readonly #family: number;

  /** Throws a NetlinkFault: ENOENT where the kernel has no ip_vs. */
  constructor() {
    try {
      this.#family = this.#resolve();
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  services(): readonly VirtualService[] {
    const services: VirtualService[] = [];
    const w = this.#begin(IPVS_CMD_GET_SERVICE, NLM_F_DUMP);
    w.end();
    for (const message of this.#socket.dump(w.bytes())) {
      for (const [type, value] of readAttributes(message.body, 4)) {
        const service = type === IPVS_CMD_ATTR_SERVICE ? readService(value) : undefined;
        if (service !== undefined) services.push(service);
      }
    }
    return services;
  }

  /** Empty when there is no such service. */
  reals(match: ServiceMatch): readonly RealServerUse[] {
    const reals: RealServerUse[] = [];
    const w = this.#begin(IPVS_CMD_GET_DEST, NLM_F_DUMP);
    writeService(w, { match, scheduler: "" }, "match");
    w.end();
    for (const message of this.#socket.dump(w.bytes())) {
      for (const [type, value] of readAttributes(message.body, 4)) {
        const real = type === IPVS_CMD_ATTR_DEST ? readReal(value) : undefined;
        if (real !== undefined) reals.push(real);
      }
    }
    return reals;
  }

  /** Makes each change, in order, whether or not others failed; the failed ones. */
  commit(steps: readonly IpvsStep[]): readonly IpvsFailure[] {
    const failures: IpvsFailure[] = [];
    for (let i = 0; i < steps.length; ) {
      const w = new NetlinkWriter(4096);
      const sent = new Map<number, IpvsStep>();
      for (; i < steps.length && w.length < largestRequest; i++) {
        const step = steps[i];
        if (step === undefined) break;
        const sequence = this.#socket.nextSequence();
        sent.set(sequence, step);
        this.#header(w, step.kind === "service" ? serviceCommand[step.verb] : realCommand[step.verb], 0, sequence);
        writeStep(w, step);
        w.end();
      }
      w.addFlags(NLM_F_ACK); // of the last only: refusals are told without being asked for
      for (const { sequence, code } of this.#socket.transact(w.bytes())) {
        const step = sent.get(sequence);
        if (step !== undefined) failures.push({ step, code });
      }
    }
    return failures;
  }

  /** Throws a NetlinkFault. */
  setTimeouts(timeouts: IpvsTimeouts): void {
    const w = this.#begin(IPVS_CMD_SET_CONFIG, NLM_F_ACK);
    for (const [type, seconds] of [
      [IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts.tcpSeconds],
      [IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts.tcpFinSeconds],
      [IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts.udpSeconds],
    ] as const) {
      if (seconds !== undefined) writeU32(w, type, seconds);
    }
    w.end();
    this.#socket.dump(w.bytes());
  }

  close(): void {
    this.#socket.close();
  }

  #resolve(): number {
    const w = new NetlinkWriter(64);
    w.begin(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK, this.#socket.nextSequence());
    w.u8(CTRL_CMD_GETFAMILY, 1, 0, 0);
    w.string(CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
    w.end();
    for (const message of this.#socket.dump(w.bytes())) {
      for (const [type, value] of readAttributes(message.body, 4)) if (type === CTRL_ATTR_FAMILY_ID) return value.readUInt16LE(0);
    }
    throw new NetlinkFault("IPVS", -2);
  }

  #begin(command: number, flags: number): NetlinkWriter {
    const w = new NetlinkWriter(512);
    this.#header(w, command, flags, this.#socket.nextSequence());
    return w;
  }

  #header(w: NetlinkWriter, command: number, flags: number, sequence: number): void {
    w.begin(this.#family, NLM_F_REQUEST | flags, sequence);
    w.u8(command, IPVS_GENL_VERSION, 0, 0);
  }
}

function writeStep(w: NetlinkWriter, step: IpvsStep): void {
  if (step.kind === "service") {
    writeService(w, step.service, step.verb === "delete" ? "match" : "all");
    return;
  }
  writeService(w, { match: step.match, scheduler: "" }, "match");
  const at = w.open(IPVS_CMD_ATTR_DEST | nested);
  writeAddress(w, IPVS_DEST_ATTR_ADDR, step.real.ip);
  writePort(w, IPVS_DEST_ATTR_PORT, step.real.port);
  if (step.verb !== "delete") {
    writeU32(w, IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_MASQ);
    writeU32(w, IPVS_DEST_ATTR_WEIGHT, step.real.weight);
    writeU32(w, IPVS_DEST_ATTR_U_THRESH, 0);
    writeU32(w, IPVS_DEST_ATTR_L_THRESH, 0);
  }
  w.close(at);
}

function writeService(w: NetlinkWriter, service: VirtualService, parts: "match" | "all"): void {
  const { match } = service;
  const family = matchFamily(match);
  const at = w.open(IPVS_CMD_ATTR_SERVICE | nested);
  writeU16(w, IPVS_SVC_ATTR_AF, family === 4 ? AF_INET : AF_INET6);
  if (match.kind === "fwmark") writeU32(w, IPVS_SVC_ATTR_FWMARK, match.mark);
  else {
    writeU16(w, IPVS_SVC_ATTR_PROTOCOL, protocolNumbers[match.protocol]);
    writeAddress(w, IPVS_SVC_ATTR_ADDR, match.ip);
    writePort(w, IPVS_SVC_ATTR_PORT, match.port);
  }
  if (parts === "all") {
    w.string(IPVS_SVC_ATTR_SCHED_NAME, service.scheduler);
    const flags =
      ((service.schedulerFlags ?? 0) << schedulerFlagShift) | (service.persistenceSeconds === undefined ? 0 : IP_VS_SVC_F_PERSISTENT);
    const of = w.open(IPVS_SVC_ATTR_FLAGS);
    w.u32(flags);
    w.u32(IP_VS_SVC_F_PERSISTENT | (schedulerFlagMask << schedulerFlagShift)); // which of them are meant
    w.close(of);
    writeU32(w, IPVS_SVC_ATTR_TIMEOUT, service.persistenceSeconds ?? 0);
    // every client for itself: a mask of all bits in IPv4, a length in IPv6
    writeU32(w, IPVS_SVC_ATTR_NETMASK, family === 4 ? 0xffff_ffff : 128);
  }
  w.close(at);
}

function writeU16(w: NetlinkWriter, type: number, value: number): void {
  const at = w.open(type);
  w.u8(value & 0xff, value >>> 8);
  w.close(at);
}

function writeU32(w: NetlinkWriter, type: number, value: number): void {
  const at = w.open(type);
  w.u32(value);
  w.close(at);
}

function writePort(w: NetlinkWriter, type: number, port: number): void {
  const at = w.open(type);
  w.u16be(port);
  w.close(at);
}

/** Always 16 bytes, the first four of which are an IPv4 address. */
function writeAddress(w: NetlinkWriter, type: number, ip: string): void {
  const bytes = new Uint8Array(16);
  bytes.set(ipBytes(ip));
  const at = w.open(type);
  w.raw(bytes);
  w.close(at);
}

function readService(bytes: Buffer): VirtualService | undefined {
  const of = new Map(readAttributes(bytes, 0));
  const family = of.get(IPVS_SVC_ATTR_AF)?.readUInt16LE(0) === AF_INET6 ? 6 : 4;
  const mark = of.get(IPVS_SVC_ATTR_FWMARK)?.readUInt32LE(0);
  const number = of.get(IPVS_SVC_ATTR_PROTOCOL)?.readUInt16LE(0);
  const protocol = (Object.keys(protocolNumbers) as Protocol[]).find((p) => protocolNumbers[p] === number);
  const address = of.get(IPVS_SVC_ATTR_ADDR);
  const port = of.get(IPVS_SVC_ATTR_PORT)?.readUInt16BE(0);
  let match: ServiceMatch;
  if (mark !== undefined) match = { kind: "fwmark", family, mark };
  else if (protocol === undefined || address === undefined || port === undefined) return undefined;
  else match = { kind: "address", protocol, ip: ipFromBytes(address.subarray(0, family === 4 ? 4 : 16)), port };
  const flags = of.get(IPVS_SVC_ATTR_FLAGS)?.readUInt32LE(0) ?? 0;
  const schedulerFlags: SchedulerFlags = (flags >>> schedulerFlagShift) & schedulerFlagMask;
  return {
    match,
    scheduler: readString(of.get(IPVS_SVC_ATTR_SCHED_NAME) ?? Buffer.alloc(0)),
    ...(schedulerFlags === 0 ? {} : { schedulerFlags }),
    ...((flags & IP_VS_SVC_F_PERSISTENT) === 0 ? {} : { persistenceSeconds: of.get(IPVS_SVC_ATTR_TIMEOUT)?.readUInt32LE(0) ?? 0 }),
  };
}

function readReal(bytes: Buffer): RealServerUse | undefined {
  const of = new Map(readAttributes(bytes, 0));
  const address = of.get(IPVS_DEST_ATTR_ADDR);
  if (address === undefined) return undefined;
  const v6 = of.get(IPVS_DEST_ATTR_ADDR_FAMILY)?.readUInt16LE(0) === AF_INET6;
  const number = (type: number): number => of.get(type)?.readUInt32LE(0) ?? 0;
  return {
    ip: ipFromBytes(address.subarray(0, v6 ? 16 : 4)),
    port: of.get(IPVS_DEST_ATTR_PORT)?.readUInt16BE(0) ?? 0,
    weight: number(IPVS_DEST_ATTR_WEIGHT),
    active: number(IPVS_DEST_ATTR_ACTIVE_CONNS),
    inactive: number(IPVS_DEST_ATTR_INACT_CONNS),
  };
}
