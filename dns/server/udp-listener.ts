import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { ipFamily } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { QueryEngine } from "./engine.ts";

/** Bursts of a whole node's look-ups wait here while the process is busy. */
const receiveBufferBytes = 4 << 20;
const maxUdpAnswer = 1232;

export interface UdpListener extends Running {
  readonly address: () => DnsAddress;
}

/** One UDP socket on node's own I/O. `bound` is a socket that a supervisor bound before; else one is bound to `at`. */
export function startUdpListener(at: DnsAddress, engine: QueryEngine, bound?: Socket): UdpListener {
  const socket = bound ?? (ipFamily(at.ip) === 4 ? createSocket("udp4") : createSocket({ type: "udp6", ipv6Only: true }));
  let open = true;
  socket.on("message", (query: Buffer, from: RemoteInfo) => {
    // node sends from the buffer after this call has returned, so each answer has its own
    const out = Buffer.allocUnsafe(maxUdpAnswer);
    const length = engine.now(query, query.length, from.address, out, "udp");
    if (length !== undefined) {
      if (length > 0) socket.send(out, 0, length, from.port, from.address);
      return;
    }
    void engine.later(query, from.address, "udp").then((answer) => {
      if (answer !== undefined && open) socket.send(answer, from.port, from.address);
    });
  });
  const ready =
    bound === undefined
      ? new Promise<void>((resolve, reject) => {
          socket.once("error", reject);
          socket.bind(at.port, at.ip, () => {
            socket.off("error", reject);
            resolve();
          });
        })
      : Promise.resolve();
  const started = ready.then(() => {
    // an answer to a client that is gone (ICMP unreachable) is no reason to stop
    socket.on("error", () => {});
    try {
      socket.setRecvBufferSize(receiveBufferBytes);
    } catch {
      // the kernel's limit is lower: its default stays
    }
  });
  return {
    ready: started,
    address: () => {
      const { address, port } = socket.address();
      return { ip: address, port };
    },
    close: () =>
      new Promise((resolve) => {
        if (!open) {
          resolve();
          return;
        }
        open = false;
        socket.close(() => resolve());
      }),
  };
}
