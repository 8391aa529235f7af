import { randomBytes } from "node:crypto";

/** So long a ticket is worth something. Milliseconds. */
const lifetime = 12 * 3_600_000;
const keyBytes = 48;

/** What an ingress process asks its supervisor when it starts; the answer is of the same type, and comes again with new keys. */
export interface TicketKeysMessage {
  readonly type: "ticket-keys";
  /** Base64; absent in the question. */
  readonly keys?: string;
}

/** A process at the other end of a channel. */
export interface Asker {
  readonly connected: boolean;
  send(message: object): unknown;
}

/**
 * The keys that encrypt TLS session tickets, the same for all ingress processes and generations of a node: a client resumes its
 * session whichever of them it comes to. They are in memory only, go to the supervisor that takes over, and are new twice a day.
 */
export class TicketKeys {
  readonly #askers = new Set<Asker>();
  readonly #random: (size: number) => Buffer;
  readonly #timer: NodeJS.Timeout;
  #keys: Buffer;

  /** `before`: of the supervisor whose place is taken. */
  constructor(before: Buffer | undefined, random: (size: number) => Buffer = randomBytes) {
    this.#random = random;
    this.#keys = before?.length === keyBytes ? before : random(keyBytes);
    this.#timer = setInterval(() => this.rotate(), lifetime).unref();
  }

  get current(): Buffer {
    return this.#keys;
  }

  answer(asker: Asker): void {
    this.#askers.add(asker);
    this.#tell(asker);
  }

  rotate(): void {
    this.#keys = this.#random(keyBytes);
    for (const asker of this.#askers) this.#tell(asker);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tell(asker: Asker): void {
    if (asker.connected) asker.send({ type: "ticket-keys", keys: this.#keys.toString("base64") } satisfies TicketKeysMessage);
    else this.#askers.delete(asker);
  }
}

export function isTicketKeys(message: unknown): message is TicketKeysMessage {
  return typeof message === "object" && message !== null && "type" in message && message.type === "ticket-keys";
}
