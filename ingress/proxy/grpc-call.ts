import { connect } from "node:http2";
import { connect as connectTcp, isIP } from "node:net";
import { connect as connectTls } from "node:tls";

/** A call with one message and no answer that matters, over HTTP/2. */
export interface GrpcCall {
  readonly address: { readonly ip: string; readonly port: number };
  readonly url: URL;
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly message: Buffer;
  readonly timeoutMs: number;
}

/** True where the host of a URL is no name, which certificates and SNI have. */
export function isAddress({ hostname }: URL): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, "")) !== 0;
}

/** How it ended, as gRPC numbers that; rejects where there was no end in time. A connection of its own: such calls are seconds apart. */
export function callGrpc(o: GrpcCall): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const { ip: host, port } = o.address;
  const { protocol, hostname: servername } = o.url;
  const session = connect(o.url, {
    createConnection: () =>
      protocol === "https:"
        ? connectTls({ host, port, ALPNProtocols: ["h2"], ...(isAddress(o.url) ? {} : { servername }) })
        : connectTcp({ host, port }),
  });
  const timer = setTimeout(() => session.destroy(new Error("no answer in time")), o.timeoutMs);
  timer.unref();
  session.on("error", reject);
  const stream = session.request({
    ":method": "POST",
    ":path": o.path,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": `${o.timeoutMs}m`,
  });
  let status: number | undefined;
  const read = (headers: Readonly<Record<string, string | readonly string[] | number | undefined>>): void => {
    const told = headers["grpc-status"];
    if (told !== undefined) status = Number(told);
  };
  stream.on("response", read);
  stream.on("trailers", read);
  stream.on("error", reject);
  stream.on("close", () => {
    clearTimeout(timer);
    session.close();
    if (status === undefined) reject(new Error("the call ended without a status"));
    else resolve(status);
  });
  stream.resume();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(o.message.length, 1);
  stream.end(Buffer.concat([head, o.message]));
  return promise;
}
