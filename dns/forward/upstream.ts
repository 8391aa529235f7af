import { connect, isIP } from "node:net";
import { connect as connectTls, type SecureContextOptions } from "node:tls";
import { type Ip, printHostPort } from "../../src/base/ip.ts";
import type { Message } from "../wire/message.ts";
import { rcodes } from "../wire/record-type.ts";
import { isUpstreamError, UpstreamError } from "./errors.ts";
import { exchangeUdp } from "./exchange-udp.ts";
import { HttpsConnection } from "./https-connection.ts";
import { TcpConnection } from "./tcp-connection.ts";

export interface UpstreamAddress {
  readonly ip: Ip;
  readonly port: number;
  /** Default dns: UDP, and TCP for what does not fit. */
  readonly scheme?: "dns" | "tls" | "https";
  /** What its certificate must be for; default its address. */
  readonly serverName?: string;
  /** Of DNS over HTTPS; default `/dns-query`. */
  readonly path?: string;
}

export interface UpstreamOptions {
  /** Milliseconds for one try. */
  readonly tryTimeout: number;
  /** Milliseconds an idle connection is kept; default 10000. */
  readonly expire?: number;
  /** Certificates for encrypted upstreams, PEM. */
  readonly tls?: SecureContextOptions;
  /** `same`: answers over UDP must have the question's letters in the case they were sent in. */
  readonly letters?: "same" | "any";
}

/** Asks and waits for the answer. */
interface Exchange {
  exchange(query: Message, signal: AbortSignal): Promise<Message>;
  close(): void;
}

/** One server that questions go to, and whether it answers. */
export class Upstream {
  readonly address: UpstreamAddress;
  readonly name: string;
  readonly #stream: Exchange;
  readonly #tryTimeout: number;
  readonly #letters: "same" | "any";
  #failures = 0;

  constructor(address: UpstreamAddress, options: UpstreamOptions) {
    this.address = address;
    this.name = printHostPort(address.ip, address.port);
    this.#stream = openStream(address, this.name, options);
    this.#tryTimeout = options.tryTimeout;
    this.#letters = options.letters ?? "any";
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
    this.#stream.close();
  }

  async #exchange(query: Message, transport: "udp" | "tcp", signal: AbortSignal): Promise<Message> {
    if (transport === "udp" && (this.address.scheme ?? "dns") === "dns") {
      const answer = await exchangeUdp(this.address, query, signal, this.#letters);
      if (!answer.truncated) return answer;
    }
    return this.#stream.exchange(query, signal);
  }
}

function openStream(to: UpstreamAddress, where: string, { expire = 10_000, tls = {} }: UpstreamOptions): Exchange {
  const serverName = to.serverName ?? to.ip;
  if (to.scheme === "https") return new HttpsConnection({ where, path: to.path ?? "/dns-query", serverName, tls, idle: expire });
  const at = { host: to.ip, port: to.port };
  if (to.scheme !== "tls") return new TcpConnection(where, () => connect({ ...at, noDelay: true }), expire);
  // an address is checked against the certificate, but is never sent as a name (RFC 6066 section 3)
  const named = isIP(serverName) === 0 ? { servername: serverName } : {};
  return new TcpConnection(where, () => connectTls({ ...at, ...tls, ...named, ALPNProtocols: ["dot"] }).setNoDelay(true), expire);
}
