import type { Ip } from "../../src/base/ip.ts";
import type { Message } from "../wire/message.ts";
import { UdpLines } from "./udp-lines.ts";
import type { UpstreamAddress } from "./upstream.ts";

/** Longer than any caller's own limit. Milliseconds. */
const anyTime = 60_000;

/** Asks once over UDP, from a socket of its own, and from `source` where it is given. */
export async function exchangeUdp(to: UpstreamAddress, query: Message, signal: AbortSignal, source?: Ip): Promise<Message> {
  const lines = new UdpLines(to, Math.random, source);
  try {
    const answer = await lines.ask(query, { within: anyTime, signal, letters: "any" });
    if (answer === "letters") throw new Error("letters do not matter here");
    return answer;
  } finally {
    lines.close();
  }
}
