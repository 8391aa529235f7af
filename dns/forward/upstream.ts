import { type Ip, printHostPort } from "../../src/base/ip.ts";
import type { Message } from "../wire/message.ts";
import { rcodes } from "../wire/record-type.ts";
import { isUpstreamError, UpstreamError } from "./errors.ts";
import { exchangeUdp } from "./exchange-udp.ts";
import { TcpConnection } from "./tcp-connection.ts";

export interface UpstreamAddress {
  readonly ip: Ip;
  readonly port: number;
}

/** One server that questions go to, and whether it answers. */
export class Upstream {
  readonly address: UpstreamAddress;
  readonly name: string;
  readonly #tcp: TcpConnection;
  readonly #tryTimeout: number;
  #failures = 0;

  constructor(address: UpstreamAddress, tryTimeout: number) {
    this.address = address;
    this.name = printHostPort(address.ip, address.port);
    this.#tcp = new TcpConnection(address);
    this.#tryTimeout = tryTimeout;
  }

  /** Failures since the last answer. */
  get failures(): number {
    return this.#failures;
  }

  /** One try: UDP first, then TCP when the answer does not fit; without EDNS when the server does not know it (RFC 6891 section 7). */
  async ask(query: Message, transport: "udp" | "tcp", signal: AbortSignal): Promise<Message> {
    const deadline = AbortSignal.timeout(this.#tryTimeout);
    const either = AbortSignal.any([signal, deadline]);
    try {
      let answer = await this.#exchange(query, transport, either);
      if (answer.rcode === rcodes.FORMERR && answer.edns === undefined && query.edns !== undefined) {
        const { edns: _, ...plain } = query;
        answer = await this.#exchange(plain, transport, either);
      }
      this.#failures = 0;
      return answer;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#failures++;
      if (isUpstreamError(error)) throw error;
      throw new UpstreamError(deadline.aborted ? "timeout" : "unreachable", this.name, error);
    }
  }

  close(): void {
    this.#tcp.close();
  }

  async #exchange(query: Message, transport: "udp" | "tcp", signal: AbortSignal): Promise<Message> {
    if (transport === "udp") {
      const answer = await exchangeUdp(this.address, query, signal);
      if (!answer.truncated) return answer;
    }
    return this.#tcp.exchange(query, signal);
  }
}
