import { connect, isIP } from "node:net";
import { connect as connectTls, type SecureContextOptions } from "node:tls";
import { type Ip, ipFamily, printHostPort } from "../../src/base/ip.ts";
import { type Message, withoutEdns } from "../wire/message.ts";
import { rcodes } from "../wire/record-type.ts";
import { isUpstreamError, UpstreamError } from "./errors.ts";
import { HttpsConnection } from "./https-connection.ts";
import { TcpConnection } from "./tcp-connection.ts";
import { UdpLines } from "./udp-lines.ts";

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
  /** Milliseconds after which a connection is replaced, however busy; 0: never. Default 0. */
  readonly maxAge?: number;
  /** Where questions come from, where the server is of its family; default the system's choice. */
  readonly source?: Ip;
  /** Certificates for encrypted upstreams, PEM. */
  readonly tls?: SecureContextOptions;
  /** Default POST. */
  readonly dohMethod?: "GET" | "POST";
  /** `same`: answers over UDP must have the question's letters in the case they were sent in; else the question is asked over TCP. */
  readonly letters?: "same" | "any";
  /** In [0, 1), not to be guessed. */
  readonly random: () => number;
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
  readonly #open: () => Exchange;
  readonly #maxAge: number;
  #stream: Exchange;
  #opened = performance.now();
  /** The one before, which may still have answers to come; it ends when it is idle. */
  #former: Exchange | undefined;
  readonly #lines: UdpLines;
  readonly #tryTimeout: number;
  readonly #letters: "same" | "any";
  #failures = 0;

  constructor(address: UpstreamAddress, options: UpstreamOptions) {
    this.address = address;
    this.name = printHostPort(address.ip, address.port);
    const source = options.source !== undefined && ipFamily(options.source) === ipFamily(address.ip) ? options.source : undefined;
    this.#open = () => openStream(address, this.name, { ...options, source });
    this.#stream = this.#open();
    this.#maxAge = options.maxAge ?? 0;
    this.#lines = new UdpLines(address, options.random, source);
    this.#tryTimeout = options.tryTimeout;
    this.#letters = options.letters ?? "any";
  }

  /** Failures since the last answer. */
  get failures(): number {
    return this.#failures;
  }

  /** One try: UDP first, then TCP when the answer does not fit; without EDNS when the server does not know it (RFC 6891 section 7). */
  async ask(query: Message, transport: "udp" | "tcp", signal: AbortSignal): Promise<Message> {
    const until = performance.now() + this.#tryTimeout;
    try {
      let answer = await this.#exchange(query, transport, until, signal);
      if (answer.rcode === rcodes.FORMERR && answer.edns === undefined && query.edns !== undefined) {
        answer = await this.#exchange(withoutEdns(query), transport, until, signal);
      }
      this.#failures = 0;
      return answer;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#failures++;
      if (isUpstreamError(error)) throw error;
      throw new UpstreamError(performance.now() >= until - 2 ? "timeout" : "unreachable", this.name, error);
    }
  }

  close(): void {
    this.#lines.close();
    this.#former?.close();
    this.#stream.close();
  }

  /** The connection, or a new one in place of one that is too old: behind one address another server may be the right one by now. */
  #current(): Exchange {
    if (this.#maxAge > 0 && performance.now() - this.#opened >= this.#maxAge) {
      this.#former?.close();
      this.#former = this.#stream;
      this.#stream = this.#open();
      this.#opened = performance.now();
    }
    return this.#stream;
  }

  /** `until` on the clock of `performance.now()`. */
  async #exchange(query: Message, transport: "udp" | "tcp", until: number, signal: AbortSignal): Promise<Message> {
    if (transport === "udp" && (this.address.scheme ?? "dns") === "dns") {
      const answer = await this.#lines.ask(query, { within: until - performance.now(), signal, letters: this.#letters });
      if (answer !== "letters" && !answer.truncated) return answer;
    }
    const left = Math.max(1, Math.ceil(until - performance.now()));
    return this.#current().exchange(query, AbortSignal.any([signal, AbortSignal.timeout(left)]));
  }
}

function openStream(
  to: UpstreamAddress,
  where: string,
  options: Omit<UpstreamOptions, "source"> & { readonly source: Ip | undefined },
): Exchange {
  const { expire = 10_000, tls = {}, dohMethod = "POST", source } = options;
  const serverName = to.serverName ?? to.ip;
  if (to.scheme === "https")
    return new HttpsConnection({ where, path: to.path ?? "/dns-query", method: dohMethod, serverName, tls, source, idle: expire });
  const at = { host: to.ip, port: to.port, ...(source === undefined ? {} : { localAddress: source }) };
  if (to.scheme !== "tls") return new TcpConnection(where, () => connect({ ...at, noDelay: true }), expire);
  // an address is checked against the certificate, but is never sent as a name (RFC 6066 section 3)
  const named = isIP(serverName) === 0 ? { servername: serverName } : {};
  return new TcpConnection(where, () => connectTls({ ...at, ...tls, ...named, ALPNProtocols: ["dot"] }).setNoDelay(true), expire);
}
