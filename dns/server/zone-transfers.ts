import { cidrContains } from "../../src/base/cidr.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { Answerer } from "../answer/answerer.ts";
import { soaMessage, transferMessages } from "../answer/zone-copy.ts";
import type { TransferConfig } from "../config/transfer-config.ts";
import { isParseError } from "../wire/errors.ts";
import { decodeMessage, type Message } from "../wire/message.ts";
import { canonicalName, encodeName } from "../wire/name.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";

/** Each copies the zones' memory while it runs. */
const maxTransfers = 2;

/** Gives whole zones to those who may have them. */
export class ZoneTransfers {
  readonly #answerer: Answerer;
  readonly #rules: readonly TransferConfig[];
  #running = 0;

  constructor(answerer: Answerer, rules: readonly TransferConfig[]) {
    this.#answerer = answerer;
    this.#rules = rules;
  }

  /**
   * The messages that answer an AXFR or IXFR; undefined when the chain is to refuse it: it is none, not for this client, of no
   * zone here, or too many run. An IXFR gets the whole zone, unless its client has it already or asks over UDP (RFC 1995).
   */
  answer(bytes: Uint8Array, client: Ip, transport: "stream" | "datagram"): Iterable<Uint8Array> | undefined {
    if (this.#rules.length === 0) return undefined;
    const query = read(bytes);
    const [question] = query?.questions ?? [];
    if (query === undefined || question === undefined || question.class !== classIn) return undefined;
    const { type } = question;
    if (type !== typeNumbers.IXFR && (type !== typeNumbers.AXFR || transport === "datagram")) return undefined;
    if (!this.#isAllowed(canonicalName(question.name), client) || this.#running >= maxTransfers) return undefined;
    const name = encodeName(question.name);
    const zone = this.#answerer.copyZone(name);
    if (zone === undefined) return undefined;
    const head = { id: query.id, name, type };
    const [had] = query.authority.flatMap((r) => (r.data.kind === "SOA" ? [r.data.serial] : []));
    if (type === typeNumbers.IXFR && (transport === "datagram" || isCurrent(had, this.#answerer.revision >>> 0)))
      return [soaMessage(zone, head)];
    return this.#counted(transferMessages(zone, head));
  }

  *#counted(messages: Iterable<Uint8Array>): Iterable<Uint8Array> {
    this.#running++;
    try {
      yield* messages;
    } finally {
      this.#running--;
    }
  }

  #isAllowed(zone: string, client: Ip): boolean {
    const ip = parseIp(client);
    return this.#rules.some(
      ({ zones, to }) =>
        (zones === undefined || zones.some((z) => canonicalName(z) === zone)) &&
        (to === "*" || (ip !== undefined && to.some((cidr) => cidrContains(cidr, ip)))),
    );
  }
}

function read(bytes: Uint8Array): Message | undefined {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (isParseError(error)) return undefined;
    throw error;
  }
}

/** Serial numbers compare in a circle (RFC 1982). */
function isCurrent(had: number | undefined, now: number): boolean {
  return had !== undefined && ((now - had) | 0) <= 0;
}
