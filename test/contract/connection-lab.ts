import { createHash } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createSecureContext, createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from "node:tls";
import { afterEach } from "vitest";
import { selfSignedCertificate } from "../../ingress/proxy/default-certificate.ts";
import type { BareClient } from "../../ingress/upstream/bare-client.ts";
import type { Connection, ConnectionEvents, ConnectionFactory, Listening } from "../../ingress/upstream/connection.ts";
import { listenForSockets } from "../../ingress/upstream/net-connection.ts";

/** What came of one connection, and a way to wait for it. */
export class Heard implements ConnectionEvents {
  text = "";
  bytes = 0;
  readonly digest = createHash("sha256");
  drains = 0;
  ended = false;
  closed = false;
  error: Error | undefined;
  onBytes: (bytes: Buffer) => void = () => {};
  #wake: (() => void)[] = [];

  onData(bytes: Buffer): void {
    this.bytes += bytes.length;
    if (this.bytes < 100_000) this.text += bytes.toString("latin1");
    this.digest.update(bytes);
    this.onBytes(bytes);
    this.#tell();
  }
  onDrain(): void {
    this.drains++;
    this.#tell();
  }
  onEnd(): void {
    this.ended = true;
    this.#tell();
  }
  onClose(error: Error | undefined): void {
    this.closed = true;
    this.error = error;
    this.#tell();
  }

  #tell(): void {
    for (const w of this.#wake.splice(0)) w();
  }

  async until(test: (h: this) => boolean): Promise<this> {
    while (!test(this)) await new Promise<void>((resolve) => void this.#wake.push(resolve));
    return this;
  }
}

/** The certificate of the terms, whatever name is asked for. */
const shown = { context: undefined, staple: undefined };
export const here = { ip: "127.0.0.1", port: 0 };
/** Bytes that differ at every place, so that one read over another shows. */
export function pattern(size: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0; i + 4 <= size; i += 4) bytes.writeUInt32LE((i * 2654435761 + seed * 40503) >>> 0, i);
  return bytes;
}
export const hashOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Connections of one transport in tests of their own; everything is closed after each. `make` gives one whose faults go to `onFault`. */
export function connectionLab(make: (onFault: (error: unknown) => void) => ConnectionFactory) {
  const open: (() => void)[] = [];
  const faults: unknown[] = [];
  afterEach(() => {
    for (const close of open.splice(0).reverse()) close();
    faults.length = 0;
  });
  const factory = make((error) => void faults.push(error));

  /** A pair: our connection of an accepted client, and the client's plain socket. */
  async function accepted(): Promise<{ connection: Connection; heard: Heard; socket: Socket; listening: Listening }> {
    const arrived = Promise.withResolvers<Connection>();
    const heard = new Heard();
    const listening = factory.listen(here, (c) => {
      c.events = heard;
      arrived.resolve(c);
    });
    await listening.ready;
    const socket = connect({ port: listening.address().port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => undefined);
    open.push(
      () => void listening.close(),
      () => socket.destroy(),
    );
    const connection = await arrived.promise;
    open.push(() => connection.abort());
    return { connection, heard, socket, listening };
  }

  async function endpoint(serve: (socket: Socket) => void): Promise<{ port: number; server: Server }> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      open.push(() => socket.destroy());
      serve(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push(() => server.close());
    const address = server.address();
    return { port: typeof address === "object" && address !== null ? address.port : 0, server };
  }

  async function connected(port: number): Promise<{ connection: Connection; heard: Heard }> {
    const heard = new Heard();
    const ready = Promise.withResolvers<void>();
    const connection = factory.connect({ ip: "127.0.0.1", port, tls: false }, heard, () => ready.resolve());
    open.push(() => connection.abort());
    await ready.promise;
    return { connection, heard };
  }

  /** A pair over TLS; the listener's side comes with the handshake. Of a socket, or of a client as it was accepted. */
  async function secured(
    of: "sockets" | "bare clients" = "sockets",
  ): Promise<{ socket: TLSSocket; below: Socket; arrived: Promise<{ connection: Connection; heard: Heard }> }> {
    const { certificate: cert, key } = selfSignedCertificate(Date.now());
    const arrived = Promise.withResolvers<{ connection: Connection; heard: Heard }>();
    const arrive = (connection: Connection): void => {
      const heard = new Heard();
      connection.events = heard;
      open.push(() => connection.abort());
      arrived.resolve({ connection, heard });
    };
    const tls = createTlsServer({ cert, key }, (socket) => arrive(factory.adopt(socket)));
    const onSocket = (socket: Socket): void => {
      if (of === "bare clients") arrived.reject(new Error("it was accepted as a socket"));
      socket.allowHalfOpen = false;
      tls.emit("connection", socket);
    };
    const terms = { context: createSecureContext({ cert, key }), protocols: Buffer.alloc(0), choose: () => shown };
    const onClient = (client: BareClient): void =>
      client.secure(terms, {
        onSecure: ({ connection }) => arrive(connection),
        onFailed: () => arrived.reject(new Error("the handshake failed")),
      });
    const listening =
      (of === "sockets" ? undefined : factory.listenBare?.(here, { onClient, onSocket })) ?? listenForSockets(here, onSocket);
    await listening.ready;
    const below = connect({ port: listening.address().port, host: "127.0.0.1" });
    const socket = tlsConnect({ socket: below, rejectUnauthorized: false });
    open.push(
      () => void listening.close(),
      () => below.destroy(),
    );
    return { socket, below, arrived: arrived.promise };
  }

  async function securedClient(of: "sockets" | "bare clients" = "sockets"): Promise<{ connection: Connection; socket: TLSSocket }> {
    const { socket, arrived } = await secured(of);
    return { connection: (await arrived).connection, socket };
  }

  const received = (socket: Socket): Heard => {
    const h = new Heard();
    socket.on("data", (b: Buffer) => h.onData(b));
    socket.on("end", () => h.onEnd());
    let error: Error | undefined;
    socket.on("error", (e) => {
      error = e;
    });
    socket.on("close", () => h.onClose(error));
    return h;
  };

  return { factory, open, faults, accepted, endpoint, connected, secured, securedClient, received };
}

export type ConnectionLab = ReturnType<typeof connectionLab>;
