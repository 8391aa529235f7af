import { expect, test } from "vitest";
import { ChunkDecoder } from "../../../ingress/upstream/wire/chunk-decoder.ts";
import { defaultHeadLimits, parseRequestHead } from "../../../ingress/upstream/wire/request-parser.ts";

const parse = (text: string) => parseRequestHead(text.replace(/\r\n\r\n$/, ""), { ...defaultHeadLimits, lineBytes: 100, headers: 5 });

test.for<[name: string, head: string, status: number]>([
  ["both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked", 400],
  ["both framings, the other order", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3", 400],
  ["two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3", 400],
  ["a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3", 400],
  ["a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3", 400],
  ["a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3", 400],
  ["an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ", 400],
  ["a length beyond all bounds", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999", 400],
  ["another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", 400],
  ["chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked", 400],
  ["chunked in two headers", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400],
  ["a coding with a tail", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1", 400],
  ["a coding with a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked", 400],
  ["a coding on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked", 400],
  ["a space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked", 400],
  ["a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2", 400],
  ["a header without a name", "GET / HTTP/1.1\r\nHost: a\r\n: 1", 400],
  ["a header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A", 400],
  ["a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: \0", 400],
  ["a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2", 400],
  ["a bare LF in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\nX-B: 2", 400],
  ["a bare LF after the request line", "GET / HTTP/1.1\nHost: a", 400],
  ["no Host", "GET / HTTP/1.1\r\nX-A: 1", 400],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400],
  ["a Host with a path", "GET / HTTP/1.1\r\nHost: a/b", 400],
  ["a Host with a user", "GET / HTTP/1.1\r\nHost: u@a", 400],
  ["a Host with a space", "GET / HTTP/1.1\r\nHost: a b", 400],
  ["a target with a space", "GET /a b HTTP/1.1\r\nHost: a", 400],
  ["a target with a tab", "GET /a\tb HTTP/1.1\r\nHost: a", 400],
  ["a target with raw bytes above 127", "GET /\xe9 HTTP/1.1\r\nHost: a", 400],
  ["a target with a fragment", "GET /a#b HTTP/1.1\r\nHost: a", 400],
  ["a target without a slash", "GET a HTTP/1.1\r\nHost: a", 400],
  ["another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a", 400],
  ["an absolute target without a host", "GET http:///x HTTP/1.1\r\nHost: a", 400],
  ["a star for GET", "GET * HTTP/1.1\r\nHost: a", 400],
  ["two spaces", "GET  / HTTP/1.1\r\nHost: a", 400],
  ["a leading space", " GET / HTTP/1.1\r\nHost: a", 400],
  ["a method with a colon", "GE:T / HTTP/1.1\r\nHost: a", 400],
  ["no version", "GET /\r\nHost: a", 400],
  ["a version in small letters", "GET / http/1.1\r\nHost: a", 400],
  ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a", 405],
  ["HTTP/2 in the text", "GET / HTTP/2.0\r\nHost: a", 505],
  ["another expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea", 417],
  ["a long line", `GET /${"a".repeat(100)} HTTP/1.1\r\nHost: a`, 414],
  ["many headers", `GET / HTTP/1.1\r\nHost: a\r\n${"X: 1\r\n".repeat(5)}X: 1`, 431],
])("refuses %s", ([, head, status]) => {
  expect(parse(head)).toMatchObject({ status });
});

test.for<[name: string, head: string, want: object]>([
  [
    "an origin target",
    "GET /a?b HTTP/1.1\r\nHost: A.test:80",
    { target: "/a?b", authority: "A.test:80", keepAlive: true, framing: { kind: "none" } },
  ],
  ["an absolute target, which decides the host", "GET http://b.test/x?y HTTP/1.1\r\nHost: a", { target: "/x?y", authority: "b.test" }],
  ["an absolute target without a path", "GET http://b.test HTTP/1.1\r\nHost: a", { target: "/", authority: "b.test" }],
  ["a star", "OPTIONS * HTTP/1.1\r\nHost: a", { target: "*" }],
  ["1.0 without a Host", "GET / HTTP/1.0", { authority: "", keepAlive: false }],
  ["1.0 that stays", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive", { keepAlive: true }],
  ["close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close", { keepAlive: false }],
  ["a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  003 ", { framing: { kind: "length", bytes: 3 } }],
  ["chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked", { framing: { kind: "chunked" } }],
  ["an IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080", { authority: "[::1]:8080" }],
  ["an upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket", { upgrade: "websocket" }],
  ["an upgrade that Connection does not name", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket", { upgrade: undefined }],
  [
    "an upgrade with a body",
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 1",
    { upgrade: undefined },
  ],
  ["an upgrade to h2c", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c", { upgrade: undefined }],
])("reads %s", ([, head, want]) => {
  expect(parse(head)).toMatchObject(want);
});

function decode(text: string, step = text.length): { body: string; trailers: string | undefined; used: number; fault: string | undefined } {
  const decoder = new ChunkDecoder();
  let body = "";
  let trailers: string | undefined;
  const sink = {
    onBody: (b: Buffer) => {
      body += b.toString("latin1");
    },
    onTrailers: (t: string) => {
      trailers = t;
    },
  };
  let used = 0;
  for (let i = 0; i < text.length && !decoder.done; i += step) {
    const n = decoder.push(Buffer.from(text.slice(i, i + step), "latin1"), sink);
    if (typeof n === "string") return { body, trailers, used, fault: n };
    used += n;
  }
  return { body, trailers, used, fault: undefined };
}

test.for<[text: string, body: string, trailers: string | undefined]>([
  ["3\r\nabc\r\n0\r\n\r\n", "abc", ""],
  ["3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", ""],
  ["1\r\na\r\n0\r\nX: 1\r\nY: 2\r\n\r\n", "a", "X: 1\r\nY: 2"],
  ["0003\r\nabc\r\n000\r\n\r\nGET /", "abc", ""],
])("decodes %j however it is cut", ([text, body, trailers]) => {
  for (const step of [1, 2, 3, 7, text.length]) expect(decode(text, step)).toMatchObject({ body, trailers, fault: undefined });
});

test.for([
  ["", "\r\nabc"],
  ["no digits", "x\r\n"],
  ["a sign", "-1\r\n"],
  ["a prefix", "0x3\r\nabc"],
  ["a space before the extension", "3 ;a\r\nabc"],
  ["a bare LF after the size", "3\nabc\r\n"],
  ["a bare CR after the size", "3\rabc"],
  ["a bare LF after the data", "3\r\nabc\n"],
  ["more data than said", "3\r\nabcd\r\n"],
  ["a LF in an extension", "3;a\nb\r\nabc\r\n"],
  ["an endless size", "0000000000000\r\n"],
  ["an endless extension", `1;${"x".repeat(300)}\r\na\r\n`],
  ["a bare LF in the trailers", "0\r\nX: 1\n\n"],
  ["endless trailers", `0\r\n${"X: 1\r\n".repeat(2000)}\r\n`],
])("refuses chunks with %s", ([, text]) => {
  expect(decode(text ?? "").fault).toBeDefined();
});

test("tiny chunks of one read are handed on at once, behind large ones that stay where they are", () => {
  const [large, next] = ["l".repeat(5_000), "n".repeat(3_000)];
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const text = `${"1\r\nx\r\n".repeat(1_000)}${chunk(large)}${"2;a=b\r\nyz\r\n".repeat(100)}${chunk(next)}1\r\nw\r\n0\r\nX-T: 1\r\n\r\nrest`;
  const heard: string[] = [];
  const bytes = Buffer.from(text);
  const used = new ChunkDecoder().push(bytes, { onBody: (b) => void heard.push(b.toString()), onTrailers: (t) => void heard.push(t) });
  expect(heard).toEqual(["x".repeat(1_000), `${large}${"yz".repeat(100)}`, `${next}w`, "X-T: 1"]);
  expect(bytes.toString("latin1", Number(used))).toBe("rest");
});
