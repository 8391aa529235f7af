import { type Duplex, Readable } from "node:stream";
import { createGzip } from "node:zlib";
import type { Answer } from "./answer.ts";
import type { Lifetime } from "./lifetime.ts";
import { drained, ResponseOutlet } from "./outlet.ts";
import type { WireRequest, WireResponse } from "./wire.ts";

/** Smaller answers are not worth the time, as Kubernetes has it. */
const gzipFrom = 128 << 10;
/** A larger answer goes out piece by piece, as the client takes it: a list of a whole cluster is never there twice. */
const pieceSize = 128 << 10;

/** Puts an answer on the wire; returns when it is all there, or the client has gone. */
export async function sendAnswer(
  request: WireRequest,
  response: WireResponse,
  answer: Answer,
  headers: Readonly<Record<string, string>>,
  life: Lifetime,
): Promise<void> {
  switch (answer.kind) {
    case "bytes": {
      const size = answer.body.reduce((sum, piece) => sum + piece.length, 0);
      const zip = size >= gzipFrom && /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
      response.writeHead(answer.status, {
        ...headers,
        ...answer.headers,
        "content-type": answer.type,
        "cache-control": "no-cache, private",
        ...(zip ? { "content-encoding": "gzip", vary: "Accept-Encoding" } : { "content-length": size }),
      });
      if (request.method === "HEAD") response.end();
      else if (size <= pieceSize) response.end(joined(answer.body));
      else await sendPieces(response, zip ? compressed(answer.body) : inPieces(answer.body), life);
      return;
    }
    case "stream": {
      response.writeHead(200, { ...headers, "content-type": answer.type, "cache-control": "no-cache, private" });
      response.flushHeaders?.();
      await answer.run(new ResponseOutlet(response, answer.turn, () => life.over), life.signal);
      response.end();
      return;
    }
    case "relay":
      response.writeHead(answer.status, { ...headers, ...answer.headers });
      response.flushHeaders?.();
      await sendPieces(response, answer.body, life);
      return;
    case "tunnel":
      // Only a request with an Upgrade can get one, and those come by the other way.
      answer.to.destroy();
      response.writeHead(400);
      response.end();
  }
}

/** Nothing waits here but what the client is about to take. */
async function sendPieces(response: WireResponse, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, life: Lifetime): Promise<void> {
  for await (const piece of pieces) {
    if (life.over) return;
    if (!response.write(piece)) await drained(response, life.signal);
  }
  response.end();
}

/** The same bytes in pieces of one size: a list has two of its own for each object. */
function* inPieces(body: readonly Uint8Array[]): Generator<Uint8Array> {
  let batch: Uint8Array[] = [];
  let size = 0;
  for (const part of body) {
    batch.push(part);
    size += part.length;
    if (size < pieceSize) continue;
    yield joined(batch);
    batch = [];
    size = 0;
  }
  if (size > 0) yield joined(batch);
}

function compressed(body: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  return Readable.from(inPieces(body)).pipe(createGzip({ level: 1 }));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] ?? new Uint8Array()) : Buffer.concat(parts);
}

/** As sendAnswer, on a connection that asked to switch protocols. */
export async function sendOnSocket(socket: Duplex, head: Uint8Array, answer: Answer): Promise<void> {
  switch (answer.kind) {
    case "tunnel":
      join(socket, answer.to, head, answer.first);
      return;
    case "bytes": {
      const body = Buffer.concat(answer.body);
      socket.end(
        Buffer.concat([
          headText(answer.status, { "content-type": answer.type, "content-length": String(body.length), connection: "close" }),
          body,
        ]),
      );
      return;
    }
    case "relay": {
      socket.write(headText(answer.status, { ...answer.headers, connection: "close" }));
      for await (const chunk of answer.body) socket.write(chunk);
      socket.end();
      return;
    }
    case "stream":
      socket.end(headText(400, { connection: "close" }));
  }
}

/** Two connections become one; when either ends or breaks, so does the other. */
function join(a: Duplex, b: Duplex, toB: Uint8Array, toA: Uint8Array): void {
  const end = (): void => {
    a.destroy();
    b.destroy();
  };
  for (const side of [a, b]) {
    side.on("error", end);
    side.on("close", end);
  }
  if (toA.length > 0) a.write(toA);
  if (toB.length > 0) b.write(toB);
  a.pipe(b);
  b.pipe(a);
}

function headText(status: number, headers: Readonly<Record<string, string | string[]>>): Buffer {
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((v) => `${name}: ${v}`));
  return Buffer.from(`HTTP/1.1 ${status} ${statusText(status)}\r\n${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function statusText(status: number): string {
  return status < 400 ? "OK" : "Refused";
}
