import type { Ip } from "../../src/base/ip.ts";
import type { DnsTransport } from "../answer/answerer.ts";

/** What a listener needs: answers, and an eye on them. */
export interface QueryEngine {
  /**
   * Answers `query[0..n)` into `out`: the length (0 = no answer), or undefined when it will take time; then `later` is asked
   * with a copy.
   */
  now(query: Uint8Array, n: number, client: Ip, out: Uint8Array, transport: DnsTransport): number | undefined;
  /** Resolves to undefined when there is nothing to send; never rejects. */
  later(query: Uint8Array, client: Ip, transport: DnsTransport): Promise<Uint8Array | undefined>;
}

/** Where a listener is bound. */
export interface ListenAddress {
  readonly ip: Ip;
  /** 0 = any free port. */
  readonly port: number;
}
