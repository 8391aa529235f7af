import { expect, test } from "vitest";
import { parseResponseHead } from "../../../ingress/upstream/wire/response-parser.ts";

const parse = (text: string) => parseResponseHead(text, "GET", 100);

test.each([
  ["HTTP/1.1 200 OK", 200, "OK"],
  ["HTTP/1.0 404 Not Found", 404, "Not Found"],
  ["HTTP/1.1 200 ", 200, ""],
  ["HTTP/1.1 599", 599, ""],
  ["HTTP/1.1 200 caf\xe9\tx", 200, "caf\xe9\tx"],
])("status line %j", (line, status, reason) => {
  expect(parse(`${line}\r\nContent-Length: 0`)).toMatchObject({ status, reason, framing: { kind: "length", bytes: 0 } });
});

test.each([
  "HTTP/1.1 20 OK",
  "HTTP/1.1 2000 OK",
  "HTTP/1.1 099 Low",
  "HTTP/1.1 2x0 OK",
  "HTTP/1.2 200 OK",
  "HTTP/2.0 200 OK",
  "HTTP/1.1  200 OK",
  "HTTP/1.1\t200 OK",
  "http/1.1 200 OK",
  "HTTP/1.1 200 a\rb",
  "HTTP/1.1 200 a\nb",
  "HTTP/1.1 200 a\0b",
  "HTTP/1.1 200\tOK",
  "",
])("no status line: %j", (line) => {
  expect(parse(`${line}\r\nContent-Length: 0`)).toEqual({ fault: "no HTTP/1 status line" });
});

test.each(["", "+1", "-1", "1 0", "0x10", "1,1", "1e3", "1234567890123456"])("Content-Length %j is none", (length) => {
  expect(parse(`HTTP/1.1 200 OK\r\nContent-Length: ${length}`)).toHaveProperty("fault");
});

test("names that share a place among those seen before do not take each other's form", () => {
  // same length, first, middle and last character
  for (const name of ["X-abQcdZ", "X-baQdcZ", "X-abQcdZ", "x-abQcdZ"]) {
    const response = parse(`HTTP/1.1 200 OK\r\n${name}: v\r\n${name.toUpperCase()}: w`);
    expect(response).toMatchObject({
      names: [name, name.toUpperCase()],
      fields: [name.toLowerCase(), "v", name.toLowerCase(), "w"],
    });
  }
  for (const name of ["X-ab(cdZ", "X-a Qcdz", "X-\xe9bQcdZ"]) expect(parse(`HTTP/1.1 200 OK\r\n${name}: v`)).toHaveProperty("fault");
});

test.each(["a\rb", "a\nb", "a\0b", "a\x7fb", "\x01"])("a header value with a control byte: %j", (value) => {
  expect(parse(`HTTP/1.1 200 OK\r\nServer: ${value}\r\nX: y`)).toHaveProperty("fault");
});
