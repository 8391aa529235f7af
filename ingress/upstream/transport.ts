import { connect, type Socket } from "node:net";
import { createSecureContext, createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import type { BareClient } from "./bare-client.ts";
import type { Connection, ConnectionFactory, Listening } from "./connection.ts";
import { handleConnections } from "./handle-connection.ts";
import { listenForSockets, netConnections, type OnFault } from "./net-connection.ts";
import { rings } from "./rings.ts";
import type { TlsTerms } from "./tls-life.ts";

/** `auto`: the fast one where it works here, else the portable one. */
export type TransportChoice = "auto" | "portable";

export interface Transport {
  readonly name: "fast" | "portable";
  readonly connections: ConnectionFactory;
}

/** PEM texts, for the trial over TLS. */
interface TrialPair {
  readonly certificate: string;
  readonly key: string;
}

const trialBytes = 300_000;
const trialMs = 3_000;

/** The transport of this process: the fast one only after it has carried something over loopback, plain and over TLS; with rings, else without. */
export async function chooseTransport(choice: TransportChoice, pair: TrialPair, onFault: OnFault): Promise<Transport> {
  if (choice === "auto") {
    for (const by of new Set([rings(), undefined])) {
      const fast = handleConnections(onFault, by);
      if (fast === undefined) break;
      const worked = await Promise.all([tryPlain(fast), tryTls(fast, pair)]);
      if (worked.every(Boolean)) return { name: "fast", connections: fast };
    }
  }
  return { name: "portable", connections: netConnections(onFault) };
}

/** A client of the transport's own sends to its listener, which sends all of it back. */
async function tryPlain(factory: ConnectionFactory): Promise<boolean> {
  const listening = factory.listen({ ip: "127.0.0.1", port: 0 }, (c) => echo(c));
  const trial = new Trial();
  try {
    await listening.ready;
    const to = { ip: "127.0.0.1", port: listening.address().port, tls: false };
    const connection: Connection = factory.connect(
      to,
      { onData: (b) => trial.received(b), onDrain: () => {}, onEnd: () => trial.ended(), onClose: () => trial.ended() },
      () => {
        connection.write(Buffer.alloc(trialBytes));
        connection.end();
      },
    );
    return await trial.outcome.finally(() => connection.abort());
  } catch {
    return false;
  } finally {
    await listening.close();
  }
}

async function tryTls(factory: ConnectionFactory, pair: TrialPair): Promise<boolean> {
  const trial = new Trial();
  const listening = echoOverTls(factory, pair, trial);
  let raw: Socket | undefined;
  try {
    await listening.ready;
    raw = connect({ host: "127.0.0.1", port: listening.address().port });
    const socket = tlsConnect({ socket: raw, rejectUnauthorized: false });
    socket.on("data", (b: Buffer) => trial.received(b));
    for (const event of ["end", "close", "error"]) socket.on(event, () => trial.ended());
    socket.write(Buffer.alloc(trialBytes));
    return await trial.outcome;
  } catch {
    return false;
  } finally {
    raw?.destroy();
    await listening.close();
  }
}

/** Clients are secured as they are accepted, or as sockets where they are accepted so. */
function echoOverTls(factory: ConnectionFactory, pair: TrialPair, trial: Trial): Listening {
  const at = { ip: "127.0.0.1", port: 0 };
  const keys = { cert: pair.certificate, key: pair.key };
  const tls = createTlsServer(keys, (socket) => echo(factory.adopt(socket)));
  tls.on("tlsClientError", () => trial.ended());
  const onSocket = (socket: Socket): void => void tls.emit("connection", socket);
  const context = createSecureContext(keys);
  const terms: TlsTerms = { context, protocols: Buffer.alloc(0), choose: () => ({ context, staple: undefined }) };
  const onClient = (client: BareClient): void =>
    client.secure(terms, { onSecure: ({ connection }) => echo(connection), onFailed: () => trial.ended() });
  return factory.listenBare?.(at, { onClient, onSocket }) ?? listenForSockets(at, onSocket);
}

function echo(c: Connection): void {
  c.events = {
    onData: (b) => {
      c.write(b);
      // all connections read into the same memory: what was written must not be there any more
      b.fill(0xff);
    },
    onDrain: () => {},
    onEnd: () => c.end(),
    onClose: () => {},
  };
}

/** True once everything is back, zeros as they were sent; false when it ended before, or takes too long. */
class Trial {
  readonly outcome: Promise<boolean>;
  readonly #settle: (worked: boolean) => void;
  #bytes = 0;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), trialMs);
    this.#settle = resolve;
    this.outcome = promise.finally(() => clearTimeout(timer));
  }

  received(bytes: Buffer): void {
    this.#bytes += bytes.length;
    if (!bytes.every((b) => b === 0)) this.#settle(false);
    else if (this.#bytes === trialBytes) this.#settle(true);
  }

  ended(): void {
    this.#settle(false);
  }
}
