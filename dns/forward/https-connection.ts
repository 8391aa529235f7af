import { type ClientHttp2Session, connect, constants } from "node:http2";
import type { SecureContextOptions } from "node:tls";
import { encodeMessage, type Message } from "../wire/message.ts";
import { UpstreamError } from "./errors.ts";
import { matchAnswer } from "./match-answer.ts";

/** No answer is longer. */
const maxAnswerBytes = 0xffff;

export interface HttpsUpstream {
  /** `address:port`. */
  readonly where: string;
  readonly path: string;
  readonly method: "GET" | "POST";
  /** What its certificate must be for. */
  readonly serverName: string;
  readonly tls: SecureContextOptions;
  /** Where it comes from; absent: the system's choice. */
  readonly source?: string | undefined;
  /** Milliseconds without traffic after which the connection is closed. */
  readonly idle: number;
}

/** One HTTP/2 connection to an upstream of DNS over HTTPS (RFC 8484), opened when it is first needed; questions share it. */
export class HttpsConnection {
  readonly #to: HttpsUpstream;
  #session: ClientHttp2Session | undefined;

  constructor(to: HttpsUpstream) {
    this.#to = to;
  }

  async exchange(query: Message, signal: AbortSignal): Promise<Message> {
    signal.throwIfAborted();
    // id 0, so that caches on the way know the same question again (RFC 8484 section 4.1)
    const body = encodeMessage({ ...query, id: 0 });
    const bytes = await this.#request(body, signal);
    const answer = matchAnswer({ ...query, id: 0 }, bytes);
    if (answer === undefined) throw new UpstreamError("bad-answer", this.#to.where);
    return { ...answer, id: query.id };
  }

  close(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  #request(body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { where, serverName, path, method } = this.#to;
    const isPost = method === "POST";
    return new Promise((resolve, reject) => {
      const fail = (cause?: unknown): void => reject(signal.aborted ? signal.reason : new UpstreamError("unreachable", where, cause));
      const stream = this.#open().request(
        {
          [constants.HTTP2_HEADER_METHOD]: method,
          [constants.HTTP2_HEADER_PATH]: isPost ? path : `${path}?dns=${Buffer.from(body).toString("base64url")}`,
          [constants.HTTP2_HEADER_AUTHORITY]: serverName,
          [constants.HTTP2_HEADER_ACCEPT]: "application/dns-message",
          ...(isPost
            ? { [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/dns-message", [constants.HTTP2_HEADER_CONTENT_LENGTH]: body.length }
            : {}),
        },
        { signal },
      );
      const parts: Buffer[] = [];
      let length = 0;
      let status = 0;
      stream.on("response", (headers) => {
        status = Number(headers[constants.HTTP2_HEADER_STATUS]);
      });
      stream.on("data", (part: Buffer) => {
        length += part.length;
        if (length > maxAnswerBytes) stream.destroy(new Error("the answer is too long"));
        else parts.push(part);
      });
      stream.on("error", fail);
      stream.on("close", () => {
        if (status === 200) resolve(Buffer.concat(parts));
        else fail(new Error(`HTTP status ${status}`));
      });
      stream.end(isPost ? body : undefined);
    });
  }

  #open(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.destroyed && !this.#session.closed) return this.#session;
    const { where, serverName, tls, idle, source } = this.#to;
    // what node:http2 does not know of, node:tls does
    const how = { ...tls, servername: serverName, ...(source === undefined ? {} : { localAddress: source }) };
    const session = connect(`https://${where}`, how);
    session.setTimeout(idle, () => session.close());
    // each stream hears of it too
    session.on("error", () => session.destroy());
    session.unref();
    this.#session = session;
    return session;
  }
}
