// Waits in the kernel for nf_tables' own notice of each new generation, in the namespace it is given: a thread of its own, because the
// wait blocks. Its memory is shared: [how many generations were seen, when the last one was, nanoseconds of CLOCK_MONOTONIC].
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { enterNetns } from "../test/support/in-netns.ts";

const { namespace, shared } = workerData as { readonly namespace: string; readonly shared: SharedArrayBuffer };
const seen = new BigInt64Array(shared);
const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
const libc = koffi.load("libc.so.6");
type Call = (...args: readonly unknown[]) => number;
const socket = libc.func("int socket(int, int, int)") as Call;
const bind = libc.func("int bind(int, const void *, int)") as Call;
const setsockopt = libc.func("int setsockopt(int, int, int, const void *, int)") as Call;
const recv = libc.func("int recv(int, void *, int, int)") as Call;
// linux/netlink.h, nfnetlink.h, nf_tables.h
const constants = { AF_NETLINK: 16, SOCK_RAW: 3, NETLINK_NETFILTER: 12, SOL_NETLINK: 270, NETLINK_ADD_MEMBERSHIP: 1, NFNLGRP_NFTABLES: 7 };
const { SOL_SOCKET, SO_RCVTIMEO, EAGAIN } = { SOL_SOCKET: 1, SO_RCVTIMEO: 20, EAGAIN: 11 };
const newGeneration = (10 << 8) | 15;
// a thread in the kernel cannot be ended: it comes back now and then
const patience = Buffer.from(new BigInt64Array([0n, 200_000n]).buffer);

enterNetns(namespace);
const fd = socket(constants.AF_NETLINK, constants.SOCK_RAW, constants.NETLINK_NETFILTER);
const address = Buffer.alloc(12);
address.writeUInt16LE(constants.AF_NETLINK);
const group = Buffer.alloc(4);
group.writeInt32LE(constants.NFNLGRP_NFTABLES);
if (bind(fd, address, 12) !== 0 || setsockopt(fd, constants.SOL_NETLINK, constants.NETLINK_ADD_MEMBERSHIP, group, 4) !== 0)
  throw new Error(`no notices of nf_tables: errno ${koffi.errno()}`);
setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, patience.length);
parentPort?.postMessage("ready");

const buffer = Buffer.alloc(1 << 20);
for (;;) {
  const length = recv(fd, buffer, buffer.length, 0);
  const now = process.hrtime.bigint();
  if (length < 0 && koffi.errno() === EAGAIN) continue;
  // where notices were lost, one was there
  let generation = length < 0;
  for (let at = 0; at + 16 <= length; at += (buffer.readUInt32LE(at) + 3) & ~3)
    generation ||= buffer.readUInt16LE(at + 4) === newGeneration;
  if (!generation) continue;
  Atomics.store(seen, 1, now);
  Atomics.add(seen, 0, 1n);
  Atomics.notify(seen, 0);
}
