import { createSocket, type Socket } from "node:dgram";
import { type Ip, ipFamily } from "../base/ip.ts";

/** Bursts of a whole node's look-ups wait here while the process is busy. */
const receiveBufferBytes = 4 << 20;

/**
 * A socket of an address's family that sends at once. Whom it answers it knows by address: node's own look-up would put each
 * datagram off by a turn of its queue, with a closure and the parts of the message kept until then.
 */
export function createUdpSocket(ip: Ip, receiveBuffer: "large" | "as it is" = "large", sharePort = false): Socket {
  const six = ipFamily(ip) === 6;
  return createSocket({
    type: six ? "udp6" : "udp4",
    ipv6Only: six,
    reusePort: sharePort,
    ...(receiveBuffer === "large" ? { recvBufferSize: receiveBufferBytes } : {}),
    lookup: (address, _, found) => found(null, address, six ? 6 : 4),
  });
}
