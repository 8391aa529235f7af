// An endpoint that breaks HTTP/1.1 in the way that the last part of the path names. What is not for its asker says "stolen".
import { createServer, type Socket } from "node:net";

/** One request, read to the end of its head; `body` of it are there. */
interface Asked {
  readonly socket: Socket;
  readonly head: string;
  /** What the asker sent to know its answer by. */
  readonly token: string;
}

const answer = (body: string, more = ""): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
const stolen = answer("stolen");
const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";

/** Says `text` again and again until nobody listens. */
function endless(socket: Socket, first: string, text: string): void {
  const again = text.repeat(20);
  socket.write(first);
  const more = (): void => {
    while (!socket.destroyed && socket.write(again));
  };
  socket.on("drain", more);
  more();
}

/** A byte a moment, until nobody listens or all is said. */
function slowly(socket: Socket, text: string, ms: number): void {
  let at = 0;
  const timer = setInterval(() => {
    if (socket.destroyed || at === text.length) clearInterval(timer);
    else socket.write(text.charAt(at++));
  }, ms);
}

const ways: Readonly<Record<string, (asked: Asked) => void>> = {
  good: ({ socket, token }) => socket.write(answer(token)),
  "good-chunked": ({ socket, token }) => socket.write(`${chunkedHead}${token.length.toString(16)}\r\n${token}\r\n0\r\n\r\n`),
  "good-close": ({ socket, token }) => socket.end(`HTTP/1.1 200 OK\r\n\r\n${token}`),
  // dies
  "cut-length": ({ socket, token }) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${token}`),
  "reset-length": ({ socket, token }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${token}`, () => setTimeout(() => socket.resetAndDestroy(), 50));
  },
  "cut-chunk": ({ socket, token }) => socket.end(`${chunkedHead}ff\r\n${token}`),
  "cut-between-chunks": ({ socket, token }) => socket.end(`${chunkedHead}${token.length.toString(16)}\r\n${token}\r\n`),
  "cut-trailers": ({ socket, token }) => socket.end(`${chunkedHead}${token.length.toString(16)}\r\n${token}\r\n0\r\nX-A: b`),
  "reset-close": ({ socket, token }) => {
    socket.write(`HTTP/1.1 200 OK\r\n\r\n${token}`, () => setTimeout(() => socket.resetAndDestroy(), 50));
  },
  "cut-head": ({ socket }) => socket.end("HTTP/1.1 200 OK\r\nContent-Le"),
  "cut-hints": ({ socket }) => socket.end(hints),
  "hang-up": ({ socket }) => socket.end(),
  reset: ({ socket }) => socket.resetAndDestroy(),
  // says too much
  surplus: ({ socket, token }) => socket.write(answer(token) + stolen),
  "surplus-later": ({ socket, token }) => {
    socket.write(answer(token));
    setTimeout(() => socket.write(stolen), 20);
  },
  "surplus-chunked": ({ socket, token }) => socket.write(`${chunkedHead}${token.length.toString(16)}\r\n${token}\r\n0\r\n\r\n${stolen}`),
  "body-of-204": ({ socket }) => socket.write(`HTTP/1.1 204 No Content\r\n\r\n${stolen}`),
  "body-of-304": ({ socket }) => socket.write(`HTTP/1.1 304 Not Modified\r\nContent-Length: ${stolen.length}\r\n\r\n${stolen}`),
  // speaks nonsense
  "no-http": ({ socket }) => socket.write("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
  "http-0.9": ({ socket, token }) => socket.end(`<html>${token}</html>`),
  "http-2": ({ socket }) => socket.write("HTTP/2.0 200 OK\r\nContent-Length: 6\r\n\r\nstolen"),
  "two-lengths": ({ socket }) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 3\r\n\r\nstolen"),
  "length-list": ({ socket }) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6, 6\r\n\r\nstolen"),
  "no-length": ({ socket }) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: -6\r\n\r\nstolen"),
  "length-and-chunks": ({ socket }) =>
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nstolen\r\n0\r\n\r\n"),
  "unknown-coding": ({ socket }) => socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n6\r\nstolen\r\n0\r\n\r\n"),
  "bare-lf": ({ socket }) => socket.end("HTTP/1.1 200 OK\nContent-Length: 6\n\nstolen"),
  folded: ({ socket }) => socket.write("HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 6\r\n\r\nstolen"),
  "space-before-colon": ({ socket }) => socket.write("HTTP/1.1 200 OK\r\nContent-Length : 6\r\n\r\nstolen"),
  nul: ({ socket }) => socket.write("HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 6\r\n\r\nstolen"),
  "uninvited-switch": ({ socket }) => socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n${stolen}`),
  "bad-chunk": ({ socket, token }) => socket.write(`${chunkedHead}${token.length.toString(16)}\r\n${token}\r\nzz\r\nstolen\r\n0\r\n\r\n`),
  "chunk-too-long": ({ socket, token }) => socket.write(`${chunkedHead}${token.length.toString(16)}\r\n${token}stolen\r\n0\r\n\r\n`),
  "bad-trailers": ({ socket, token }) => socket.write(`${chunkedHead}${token.length.toString(16)}\r\n${token}\r\n0\r\nno trailer\r\n\r\n`),
  // never comes to an end
  "endless-hints": ({ socket }) => endless(socket, "", hints),
  "endless-head": ({ socket }) => endless(socket, "HTTP/1.1 200 OK\r\n", "X-Another: header\r\n"),
  "endless-line": ({ socket }) => endless(socket, "HTTP/1.1 200 OK\r\nX-Line: ", "x".repeat(64)),
  "endless-extension": ({ socket }) => endless(socket, `${chunkedHead}1;`, "x".repeat(64)),
  "endless-trailers": ({ socket, token }) =>
    endless(socket, `${chunkedHead}${token.length.toString(16)}\r\n${token}\r\n0\r\n`, "X-Another: header\r\n"),
  "slow-head": ({ socket, token }) => slowly(socket, answer(token, `X-A: ${"a".repeat(10_000)}\r\n`), 100),
  silent: () => undefined,
  "silent-in-body": ({ socket, token }) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${token}`),
};

const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  let text = "";
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1");
    for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
      const head = text.slice(0, end);
      const [, way = "", token = ""] = /^\S+ \/(?:[^/ ]*\/)*([\w.-]+)\?(\w+) /.exec(head) ?? [];
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
      // "early" ones answer a head; the rest of such a connection is not read as requests
      const early = way.startsWith("early-");
      if (!early && text.length < end + 4 + length) return;
      text = early ? "" : text.slice(end + 4 + length);
      (ways[way] ?? ways[way.replace("early-", "")] ?? ((a) => a.socket.destroy()))({ socket, head, token });
      if (early) {
        text = "";
        socket.removeAllListeners("data");
        socket.resume();
        return;
      }
    }
  });
});
server.listen(8080);
