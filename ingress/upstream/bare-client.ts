import type { Socket } from "node:net";
import type { Connection, ListenAt, Listening } from "./connection.ts";
import type { HandleLife, StreamLife } from "./stream-life.ts";
import { type TlsHandshakes, TlsLife, type TlsTerms } from "./tls-life.ts";

/** What came of a handshake. */
export interface SecuredClient {
  readonly connection: Connection;
  /** What both sides agreed to speak. */
  readonly protocol: string | undefined;
  readonly serverName: string | undefined;
  readonly isResumed: boolean;
}

/** Told of one of both, once. */
export interface SecuringOwner {
  onSecure(client: SecuredClient): void;
  /** The connection is closed. */
  onFailed(): void;
}

/** Accepts connections of which nobody knows yet what they speak. */
export type ListenBare = (
  at: ListenAt,
  o: { readonly onClient: (client: BareClient) => void; readonly onSocket: (socket: Socket) => void },
) => Listening;

/** A connection as it was accepted, of which nothing is read: no socket is made for it unless somebody asks for one. */
export class BareClient {
  readonly #life: HandleLife;
  readonly #handshakes: TlsHandshakes;
  readonly #connect: (life: StreamLife) => Connection;

  constructor(life: HandleLife, handshakes: TlsHandshakes, connect: (life: StreamLife) => Connection) {
    this.#life = life;
    this.#handshakes = handshakes;
    this.#connect = connect;
  }

  get remoteIp(): string {
    return this.#life.remoteIp;
  }

  /** Shakes hands with it. */
  secure(terms: TlsTerms, owner: SecuringOwner): void {
    const onSecure = (life: TlsLife): void => {
      const { protocol, serverName, isResumed } = life;
      owner.onSecure({ connection: this.#connect(life), protocol, serverName, isResumed });
    };
    new TlsLife(this.#life, this.#handshakes, { terms, owner: { onSecure, onFailed: () => owner.onFailed() } });
  }

  toSocket(): Socket {
    return this.#life.giveUp();
  }

  /** At any time before it is secured. */
  abort(): void {
    this.#life.destroy();
  }
}
