import { expect, test } from "vitest";
import { RecentTexts } from "../../../ingress/upstream/wire/recent-texts.ts";
import { defaultHeadLimits, parseRequestHead } from "../../../ingress/upstream/wire/request-parser.ts";
import { parseResponseHead } from "../../../ingress/upstream/wire/response-parser.ts";

test("a text is read twice, and then known", () => {
  const read: string[] = [];
  const recent = new RecentTexts((text, terms) => {
    read.push(`${text} ${terms}`);
    return { text, terms };
  });
  const text = "a: 1\r\nb: 2";
  for (let i = 0; i < 4; i++) expect(recent.of(text, 1)).toEqual({ text, terms: 1 });
  expect(read).toEqual([`${text} 1`, `${text} 1`]);
  expect(recent.of(text, 2)).toEqual({ text, terms: 2 });
});

test("texts that differ in one character, wherever it is, are read for themselves", () => {
  const recent = new RecentTexts((text) => ({ text }));
  const base = "Date: Mon, 23 Nov 2026 18:20:00 GMT\r\nContent-Length: 1024\r\nETag: 123456789";
  for (let at = 0; at < base.length; at++) {
    const other = `${base.slice(0, at)}~${base.slice(at + 1)}`;
    for (const text of [base, base, other, base, other, other, base]) expect(recent.of(text, 0)).toEqual({ text });
  }
});

test("a text longer than what is kept is read each time", () => {
  let reads = 0;
  const recent = new RecentTexts((text) => {
    reads++;
    return text.length;
  });
  for (let i = 0; i < 3; i++) expect(recent.of("x".repeat(5000), 0)).toBe(5000);
  expect(reads).toBe(3);
});

// one connection after the other says the same in another version, within other limits, to another method
test("what was read of a head on other terms is not taken for it", () => {
  const fields = "Host: a\r\nConnection: keep-alive\r\nX-A: 1";
  for (let i = 0; i < 3; i++) {
    expect(parseRequestHead(`GET / HTTP/1.1\r\n${fields}`, defaultHeadLimits)).toMatchObject({ minor: 1, keepAlive: true });
    expect(parseRequestHead("GET / HTTP/1.0\r\nHost: a", defaultHeadLimits)).toMatchObject({ minor: 0, keepAlive: false });
    expect(parseRequestHead("GET / HTTP/1.1\r\nHost: a", defaultHeadLimits)).toMatchObject({ minor: 1, keepAlive: true });
    expect(parseRequestHead(`GET / HTTP/1.1\r\n${fields}`, { ...defaultHeadLimits, headers: 2 })).toMatchObject({ status: 431 });
    const head = "HTTP/1.1 200 OK\r\nContent-Length: 5";
    expect(parseResponseHead(head, "GET", 9)).toMatchObject({ framing: { kind: "length", bytes: 5 } });
    expect(parseResponseHead(head, "HEAD", 9)).toMatchObject({ framing: { kind: "none" } });
  }
});
