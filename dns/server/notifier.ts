import type { Clock } from "../../src/base/clock.ts";
import { printHostPort } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { NotifyAddress } from "../config/transfer-config.ts";
import { exchangeUdp } from "../forward/exchange-udp.ts";
import type { DomainName } from "../wire/name.ts";
import { classIn, opcodeNotify, typeNumbers } from "../wire/record-type.ts";

/** Changes of so many milliseconds are told at once. */
const gatherMs = 1000;
const tries = 5;
/** The first wait for a reply; each further one is twice as long (RFC 1996 section 3.6 asks for less and less). */
const firstWaitMs = 2000;

/** A zone and those who want to hear of its changes. */
export interface NotifyTarget {
  /** Canonical. */
  readonly zone: DomainName;
  readonly to: readonly NotifyAddress[];
}

export interface NotifierDeps {
  readonly clock: Clock;
  /** An id not to be guessed, 0 to 65535. */
  readonly id: () => number;
  readonly report: (zone: DomainName, server: string, outcome: "told" | "silent") => void;
}

export interface Notifier extends Running {
  /** The zones have changed. */
  changed(): void;
}

/** Tells secondary servers that zones have changed (RFC 1996); those that do not reply are asked a few times, then left alone. */
export function startNotifier(targets: readonly NotifyTarget[], deps: NotifierDeps): Notifier {
  const closing = new AbortController();
  const { signal } = closing;
  let round: Promise<void> | undefined;
  let again = false;

  const tell = async (zone: DomainName, to: NotifyAddress): Promise<void> => {
    const query = notifyMessage(zone, deps.id());
    for (let i = 0; i < tries && !signal.aborted; i++) {
      const wait = new AbortController();
      const over = deps.clock.sleep(firstWaitMs * 2 ** i, AbortSignal.any([signal, wait.signal])).then(
        () => wait.abort(new Error("no reply")),
        () => undefined,
      );
      const heard = await exchangeUdp(to, query, AbortSignal.any([signal, wait.signal]), to.source).then(
        () => true,
        () => false,
      );
      // a refused port is told at once; its server may only be starting
      if (!heard) await over;
      else {
        wait.abort(new Error("replied"));
        deps.report(zone, printHostPort(to.ip, to.port), "told");
        return;
      }
    }
    if (!signal.aborted) deps.report(zone, printHostPort(to.ip, to.port), "silent");
  };
  const run = async (): Promise<void> => {
    do {
      again = false;
      await deps.clock.sleep(gatherMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      await Promise.all(targets.flatMap(({ zone, to }) => to.map((server) => tell(zone, server))));
    } while (again && !signal.aborted);
  };
  return {
    ready: Promise.resolve(),
    changed: () => {
      if (targets.length === 0 || signal.aborted) return;
      again = true;
      round ??= run().finally(() => {
        round = undefined;
      });
    },
    close: async () => {
      closing.abort(new Error("the DNS server is closing"));
      await round;
    },
  };
}

function notifyMessage(zone: DomainName, id: number): Parameters<typeof exchangeUdp>[1] {
  return {
    id,
    isResponse: false,
    opcode: opcodeNotify,
    authoritative: true,
    truncated: false,
    recursionDesired: false,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name: zone, type: typeNumbers.SOA, class: classIn }],
    answers: [],
    authority: [],
    additional: [],
  };
}
