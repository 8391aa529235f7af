import type { SecureContext } from "node:tls";
import { sharedRoom } from "./read-buffer.ts";
import type { StreamBindings } from "./stream-handles.ts";
import type { HandleLife, StreamLife } from "./stream-life.ts";
import { nativeContextOf, type TlsBinding, type TlsHandle } from "./tls-handles.ts";

/** What a handshake is done on. */
export interface TlsTerms {
  /** For all names; what it says of versions, ciphers and sessions holds whatever is chosen. */
  readonly context: SecureContext;
  /** In the order they are preferred, as RFC 7301 writes them. */
  readonly protocols: Buffer;
  /** By the server name; `refused`: the connection is closed. Must not throw. */
  choose(asked: { readonly name: string | undefined; readonly wantsStaple: boolean }): TlsChoice | "refused";
}

export interface TlsChoice {
  /** Instead of that of the terms. */
  readonly context: SecureContext | undefined;
  /** A response of OCSP for its certificate. */
  readonly staple: Buffer | undefined;
}

/** Told of one of both, once. */
export interface HandshakeOwner {
  onSecure(life: TlsLife): void;
  /** The connection is closed. */
  onFailed(): void;
}

/** What all handshakes of one transport share. */
export class TlsHandshakes {
  readonly binding: TlsBinding;
  readonly streams: StreamBindings;
  #done: TlsLife[] = [];
  readonly #handOn = (): void => {
    const done = this.#done;
    this.#done = [];
    for (const life of done) life.handOn();
  };

  constructor(binding: TlsBinding, streams: StreamBindings) {
    this.binding = binding;
    this.streams = streams;
  }

  /** OpenSSL tells of the end of a handshake from within: who comes next must not write before it has returned. */
  handOnSoon(life: TlsLife): void {
    if (this.#done.length === 0) setImmediate(this.#handOn);
    this.#done.push(life);
  }
}

/**
 * TLS on the handle of a connection as it was accepted: a handshake first, then a StreamLife. node:tls would make two sockets for it, with
 * their streams, listeners and timers, which cost as much as the handshake of a client that was here before.
 */
export class TlsLife implements StreamLife {
  readonly handle: TlsHandle;
  readonly tls = true;
  readonly connecting = false;
  readonly #below: HandleLife;
  readonly #shared: TlsHandshakes;
  #terms: TlsTerms | undefined;
  #owner: HandshakeOwner | undefined;
  #isDone = false;
  #tell: ((error: Error | undefined) => void) | undefined;

  constructor(below: HandleLife, shared: TlsHandshakes, o: { readonly terms: TlsTerms; readonly owner: HandshakeOwner }) {
    this.#below = below;
    this.#shared = shared;
    this.#terms = o.terms;
    this.#owner = o.owner;
    const handle = shared.binding.wrap(below.handle, nativeContextOf(o.terms.context));
    this.handle = handle;
    // what is read is the handle's below, which alone the event loop keeps alive
    below.handle.above = handle;
    below.whenClosed((error) => this.#closed(error));
    handle.onhandshakedone = () => {
      this.#isDone = true;
      shared.handOnSoon(this);
    };
    handle.oncertcb = (asked) => this.#choose(asked.servername, asked.OCSPRequest);
    handle.onerror = (error) => below.destroy(error);
    handle.onread = () => this.#read();
    handle.useUserBuffer(sharedRoom());
    handle.setALPNProtocols(o.terms.protocols);
    handle.enableCertCb();
    handle.reading = true;
    handle.readStart();
  }

  get remoteIp(): string {
    return this.#below.remoteIp;
  }

  get remotePort(): number {
    return this.#below.remotePort;
  }

  get localPort(): number {
    return this.#below.localPort;
  }

  get open(): boolean {
    return this.#below.open;
  }

  get shut(): boolean {
    return this.#below.shut;
  }

  /** What both sides agreed to speak. */
  get protocol(): string | undefined {
    return textOf(this.handle.getALPNNegotiatedProtocol());
  }

  get serverName(): string | undefined {
    return textOf(this.handle.getServername());
  }

  get isResumed(): boolean {
    return this.handle.isSessionReused();
  }

  /** To the owner, if it is still there to be had. */
  handOn(): void {
    const owner = this.#owner;
    if (owner === undefined || !this.open) return;
    this.#owner = undefined;
    this.#terms = undefined;
    owner.onSecure(this);
  }

  /** Of what comes with the end of the handshake; whoever reads from now on has its own. */
  #read(): unknown {
    if (this.#isDone && this.#owner !== undefined && this.open) {
      this.handOn();
      return this.handle.onread?.(undefined);
    }
    const { state, readBytesOrError } = this.#shared.streams;
    if ((state[readBytesOrError] ?? 0) !== 0) this.#below.destroy();
    return undefined;
  }

  #choose(name: string, wantsStaple: boolean): void {
    const choice = this.#terms?.choose({ name: name === "" ? undefined : name, wantsStaple }) ?? "refused";
    if (choice === "refused") {
      this.#below.destroy();
      return;
    }
    try {
      if (choice.context !== undefined) this.handle.sni_context = nativeContextOf(choice.context);
      if (choice.staple !== undefined) this.handle.setOCSPResponse(choice.staple);
      this.handle.certCbDone();
    } catch (error) {
      this.#below.destroy(error instanceof Error ? error : undefined);
    }
  }

  #closed(error: Error | undefined): void {
    const owner = this.#owner;
    this.#owner = undefined;
    this.#terms = undefined;
    this.handle.destroySSL();
    if (owner === undefined) this.#tell?.(error);
    else owner.onFailed();
  }

  early(): undefined {
    return undefined;
  }

  whenClosed(tell: (error: Error | undefined) => void): void {
    this.#tell = tell;
  }

  shutDown(done: () => void): void {
    this.#below.shutDown(done, this.handle);
  }

  get hasLeft(): boolean {
    return this.#below.handle.writeQueueSize === 0;
  }

  destroy(error?: Error): void {
    this.#below.destroy(error);
  }

  /** A TLS connection that ends without close_notify is truncated already. */
  reset(): void {
    this.#below.destroy();
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
