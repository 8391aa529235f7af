import type { ShownCertificate } from "../filter/outcome.ts";
import type { ResponseHead, ResponseOutlet } from "../filter/response-step.ts";
import type { ClientCertificates } from "../route/route.ts";
import type { Connection } from "../upstream/connection.ts";
import type { BodyFraming } from "../upstream/wire/body-framing.ts";
import type { HeaderBlock } from "../upstream/wire/header-block.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";

/** A response head without its headers. */
export type HeadFacts = Omit<ResponseHead, "headers">;

export interface SwitchOptions {
  /** The tunnel ends when neither side has said anything for so long. */
  readonly idleMs: number;
  /** Once, when both sides are closed. */
  readonly onClosed: () => void;
}

/** The client's side of one request: HTTP/1 and HTTP/2 each have theirs. After complete, abort or switched nothing is called. */
export interface Downstream extends ResponseOutlet {
  /** Bytes of responses that the client has not taken. */
  readonly queuedBytes: number;
  /** As head, for who speaks HTTP/1: its headers as lines, each with its CRLF. Absent where text is of no use. */
  headLines?(head: HeadFacts, lines: string): void;
  /** 100 Continue, once, if the client waits for it. */
  continue(): void;
  informational(head: ResponseHead): void;
  pauseRequest(): void;
  resumeRequest(): void;
  /** The upstream has switched protocols: bytes go through from here on. */
  switched(head: Http1Response, upstream: Connection, rest: Buffer | undefined, o: SwitchOptions): void;
}

/** A request as both client protocols give it. */
export interface IncomingRequest {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly block: HeaderBlock;
  /** Of the block: flat, name in lower case, value. */
  readonly fields: readonly string[];
  readonly framing: BodyFraming;
  readonly connectionTokens: readonly string[];
  readonly upgrade: string | undefined;
  readonly remoteIp: string;
  readonly localPort: number;
  readonly tls: boolean;
  readonly http2: boolean;
  /** By whose terms its connection was asked for a certificate; absent: it was not. */
  readonly askedBy?: ClientCertificates | undefined;
  /** As the handshake of its connection found it; absent: none was shown, or asked for. */
  readonly clientCertificate?: ShownCertificate | undefined;
}
