import { printHostPort } from "../../src/base/ip.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName } from "../wire/name.ts";
import { classIn, parseType } from "../wire/record-type.ts";
import { UpstreamError } from "./errors.ts";
import { exchangeUdp } from "./exchange-udp.ts";
import { plainConnection } from "./tcp-connection.ts";
import type { UpstreamAddress } from "./upstream.ts";

export interface QueryOnceOptions {
  /** Default `A`. */
  readonly type?: string;
  /** Milliseconds; default 2000. */
  readonly timeout?: number;
  /** Default UDP, then TCP when the answer was cut. */
  readonly transport?: "udp" | "tcp";
  /** Default: a random one. */
  readonly id?: number;
}

/** Asks one server one question: for checks. Throws an UpstreamError when there is no answer, a RangeError for an unknown type. */
export async function queryOnce(server: UpstreamAddress, name: string, options: QueryOnceOptions = {}): Promise<Message> {
  const type = parseType(options.type ?? "A");
  if (type === undefined) throw new RangeError(`${options.type} is not a record type`);
  const query: Message = {
    id: options.id ?? Math.floor(Math.random() * 0x10000),
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name: canonicalName(name), type, class: classIn }],
    answers: [],
    authority: [],
    additional: [],
    edns: { udpSize: 1232, version: 0, dnssecOk: false, options: [] },
  };
  const deadline = AbortSignal.timeout(options.timeout ?? 2000);
  const tcp = plainConnection(server);
  try {
    if (options.transport !== "tcp") {
      const answer = await exchangeUdp(server, query, deadline);
      if (!answer.truncated) return answer;
    }
    return await tcp.exchange(query, deadline);
  } catch (error) {
    if (deadline.aborted) throw new UpstreamError("timeout", printHostPort(server.ip, server.port), error);
    throw error;
  } finally {
    tcp.close();
  }
}
