import type { ClientConnection } from "./client-connection.ts";

/** Of the oldest connections, so many are looked at for one that is idle. */
const mostLooked = 256;

/** The connections of an ingress process' clients, oldest first, and what is asked of all of them. */
export class ClientConnections {
  readonly #all = new Set<ClientConnection>();
  readonly #onFault: (error: unknown) => void;
  #draining = false;

  constructor(onFault: (error: unknown) => void) {
    this.#onFault = onFault;
  }

  get count(): number {
    return this.#all.size;
  }

  get busy(): number {
    let busy = 0;
    for (const client of this.#all) if (client.busy) busy++;
    return busy;
  }

  add(client: ClientConnection): void {
    this.#all.add(client);
    // its handshake was under way when the drain began
    if (this.#draining) client.drain();
  }

  readonly onClosed = (client: ClientConnection): void => void this.#all.delete(client);

  /** As nginx: the one that has rested longest makes room for another. False: those that were looked at are busy. */
  makeRoom(): boolean {
    let looked = 0;
    for (const client of this.#all) {
      if (!client.busy) {
        client.abortConnection();
        return true;
      }
      if (++looked === mostLooked) break;
    }
    return false;
  }

  /** `now` is monotonic. */
  sweep(now: number): void {
    for (const client of this.#all) {
      try {
        client.sweep(now);
      } catch (error) {
        this.#onFault(error);
        client.abortConnection();
      }
    }
  }

  /** These endpoints (as endpointKey names them) have left the table. */
  endpointsGone(gone: ReadonlySet<string>): void {
    for (const client of this.#all) client.endpointsGone(gone);
  }

  /** Those that come later are told as well. */
  drain(): void {
    this.#draining = true;
    for (const client of this.#all) client.drain();
  }

  endIdle(): void {
    for (const client of this.#all) client.endIfIdle();
  }

  abort(): void {
    for (const client of this.#all) client.abortConnection();
  }
}
