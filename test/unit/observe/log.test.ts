import { expect, test } from "vitest";
import { createLogger, type LogFormat, type LogLevel, messageOfLine } from "../../../src/observe/log.ts";
import { redactValue } from "../../../src/observe/redact.ts";

function capture(level: LogLevel, format: LogFormat) {
  const lines: string[] = [];
  const log = createLogger({ level, format, name: "agent" }, { write: (l) => lines.push(l), now: () => 1_000, colors: false });
  return { log, lines };
}

test("a text line has time, level, name, message and fields", () => {
  const { log, lines } = capture("info", "text");
  log("info", "rules applied", { operations: 3, service: "shop/web", why: "endpoint gone" });
  expect(lines).toEqual(['00:00:01.000 INFO  agent: rules applied operations=3 service=shop/web why="endpoint gone"\n']);
});

test("a JSON line is one document, and a field cannot pass for its time, level or name", () => {
  const { log, lines } = capture("info", "json");
  log.child("rules", { node: "node-1" })("warn", "retry", { level: "info", time: "x", msg: "y", n: 2n });
  expect(lines.map((l) => JSON.parse(l))).toEqual([
    { time: "1970-01-01T00:00:01.000Z", level: "warn", name: "agent/rules", msg: "retry", node: "node-1", n: "2" },
  ]);
});

test.each<[line: string, message: string]>([
  [written("text", "no such kernel"), "no such kernel"],
  [written("json", 'no "such": kernel'), 'no "such": kernel'],
  ["nft: table: busy", "nft: table: busy"],
  ["{ not json", "{ not json"],
  ["", ""],
])("what %j says", (line, message) => {
  expect(messageOfLine(line)).toBe(message);
});

function written(format: LogFormat, message: string): string {
  const { log, lines } = capture("info", format);
  log("error", message);
  return lines.join("").trimEnd();
}

test("lines below the level are dropped", () => {
  const { log, lines } = capture("warn", "text");
  log("debug", "a");
  log("info", "b");
  log("error", "c");
  expect(lines).toHaveLength(1);
});

test("control characters do not reach a terminal", () => {
  const { log, lines } = capture("info", "text");
  log("info", "name\u001b[2J\nsecond", { pod: "a\u0007" });
  expect(lines).toEqual(["00:00:01.000 INFO  agent: name\\x1b[2J\\nsecond pod=a\\x07\n"]);
});

const cycle: Record<string, unknown> = { name: "x" };
cycle["self"] = cycle;
test.each([
  [
    "secret names",
    { user: "u", password: "p", Authorization: "Basic Zm9v" },
    { user: "u", password: "[redacted]", Authorization: "[redacted]" },
  ],
  [
    "Secret objects",
    { object: { kind: "Secret", metadata: { name: "s" }, data: { a: "b" } } },
    { object: { kind: "Secret", metadata: { name: "s" }, data: "[redacted]" } },
  ],
  ["bearer tokens in text", "sent Bearer abcdefghijkl to api", "sent Bearer [redacted] to api"],
  ["a key in text", "x -----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY----- y", "x [redacted] y"],
  ["a cut key", "-----BEGIN PRIVATE KEY-----\nabc", "[redacted]"],
  ["a password in a URL", "https://me:hunter2@example.test/x", "https://me:[redacted]@example.test/x"],
  ["errors with causes", new Error("outer", { cause: new Error("inner") }), { error: "outer", cause: { error: "inner" } }],
  ["bytes", new Uint8Array(3), "[3 bytes]"],
  ["plain names that hold secret words", { tokens: 3, secretName: "shop-tls" }, { tokens: 3, secretName: "shop-tls" }],
])("redacts %s", (_, value, want) => {
  expect(redactValue(value)).toEqual(want);
});

test("a cycle ends", () => {
  expect(JSON.stringify(redactValue(cycle))).toContain("[…]");
});
