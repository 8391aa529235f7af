import { createSocket } from "node:dgram";
import { ipFamily, printHostPort } from "../../src/base/ip.ts";
import { encodeMessage, type Message } from "../wire/message.ts";
import { UpstreamError } from "./errors.ts";
import { matchAnswer } from "./match-answer.ts";
import type { UpstreamAddress } from "./upstream.ts";

/**
 * Asks once over UDP. Each question has a socket and so a random port of its own, connected, so that the kernel drops what others
 * send and a refusal (ICMP) is known at once. Packets that do not match are ignored: a forger's must not end the wait.
 */
export function exchangeUdp(to: UpstreamAddress, query: Message, signal: AbortSignal, letters: "same" | "any" = "any"): Promise<Message> {
  const where = printHostPort(to.ip, to.port);
  return new Promise((resolve, reject) => {
    const socket = createSocket(ipFamily(to.ip) === 4 ? "udp4" : "udp6");
    let over = false;
    const finish = (end: () => void): void => {
      if (over) return;
      over = true;
      signal.removeEventListener("abort", stop);
      socket.close();
      end();
    };
    const stop = (): void => finish(() => reject(signal.reason));
    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    socket.on("error", (error) => finish(() => reject(new UpstreamError("unreachable", where, error))));
    socket.on("message", (bytes: Buffer) => {
      const answer = matchAnswer(query, bytes, letters);
      if (answer !== undefined) finish(() => resolve(answer));
    });
    socket.connect(to.port, to.ip, () => {
      if (over) return;
      socket.send(encodeMessage(query), (error) => {
        if (error !== null) finish(() => reject(new UpstreamError("unreachable", where, error)));
      });
    });
  });
}
