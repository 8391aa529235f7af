/** A client's connection, whatever it speaks, as the server sees it. */
export interface ClientConnection {
  /** A request is under way, or a tunnel open. */
  readonly busy: boolean;
  /** Called now and then; `now` is monotonic. */
  sweep(now: number): void;
  /** These endpoints (as endpointKey names them) have left the table. */
  endpointsGone(gone: ReadonlySet<string>): void;
  /** The server has begun to drain: say so to the client as its protocol has it. */
  drain(): void;
  /** Ends the connection if no request is under way. */
  endIfIdle(): void;
  abortConnection(): void;
}
