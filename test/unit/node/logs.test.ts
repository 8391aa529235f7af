import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ContainerLogWriter } from "../../../src/node/container-log.ts";
import { type LogOptions, parseLogLine, readLog } from "../../../src/node/log-reader.ts";
import { parseLogOptions } from "../../../src/node/node-server.ts";
import { FakeClock } from "../../support/fake-clock.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fw-logs-"));
  path = join(folder, "0.log");
});
afterEach(() => rmSync(folder, { recursive: true }));

const t0 = Date.UTC(2030, 0, 1);
const stamp = "2030-01-01T00:00:00.000000000Z";
async function read(options: Partial<LogOptions> = {}): Promise<string> {
  const chunks: Buffer[] = [];
  const all = { follow: false, timestamps: false, ...options };
  for await (const chunk of readLog(path, all, { clock: new FakeClock(t0), ended: () => true }, AbortSignal.timeout(60_000)))
    chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("output is written line by line, whole at the end", () => {
  const log = new ContainerLogWriter(path, new FakeClock(t0));
  log.write("stdout", Buffer.from("one\ntw"));
  log.write("stderr", Buffer.from("err\n"));
  log.write("stdout", Buffer.from("o\n\nrest"));
  log.close();
  expect(readFileSync(path, "utf8").split("\n")).toEqual([
    `${stamp} stdout F one`,
    `${stamp} stderr F err`,
    `${stamp} stdout F two`,
    `${stamp} stdout F `,
    `${stamp} stdout F rest`,
    "",
  ]);
});

test("a long line is cut into parts and read as one", async () => {
  const log = new ContainerLogWriter(path, new FakeClock(t0));
  const long = "x".repeat(40_000);
  log.write("stdout", Buffer.from(`${long}\nnext\n`));
  log.close();
  expect(
    readFileSync(path, "utf8")
      .split("\n")
      .map((l) => parseLogLine(l)?.whole),
  ).toEqual([false, false, true, true, undefined]);
  expect(await read({ timestamps: true })).toBe(`${stamp} ${long}\n${stamp} next\n`);
  expect(await read({ tailLines: 2 })).toBe(`${long}\nnext\n`);
});

test("full files are rotated and still read", async () => {
  const log = new ContainerLogWriter(path, new FakeClock(t0));
  for (let i = 0; i < 3; i++) log.write("stdout", Buffer.from(`${String(i).repeat(9999)}\n`.repeat(700)));
  log.write("stdout", Buffer.from("last\n"));
  log.close();
  expect((await read({ tailLines: 701 })).length).toBe(700 * 10_000 + 5);
  expect((await read()).length).toBe(3 * 700 * 10_000 + 5);
});

test("output that is heard live is as it came", () => {
  const log = new ContainerLogWriter(path, new FakeClock(t0));
  const heard: string[] = [];
  const stop = log.onOutput((stream, bytes) => heard.push(`${stream} ${bytes.toString()}`));
  log.write("stdout", Buffer.from("par"));
  stop();
  log.write("stdout", Buffer.from("t\n"));
  log.close();
  expect(heard).toEqual(["stdout par"]);
});

const line = (second: number, text: string): string => `2030-01-01T00:00:0${second}.000000000Z stdout F ${text}\n`;
test.each<{ name: string; options: Partial<LogOptions>; want: string }>([
  { name: "all", options: {}, want: "a\nb\nc\n" },
  { name: "the last two", options: { tailLines: 2 }, want: "b\nc\n" },
  { name: "none", options: { tailLines: 0 }, want: "" },
  { name: "from a time on", options: { since: t0 + 2000 }, want: "b\nc\n" },
  { name: "from a time on, the last", options: { since: t0 + 2000, tailLines: 1 }, want: "c\n" },
  { name: "a number of bytes", options: { limitBytes: 3 }, want: "a\nb" },
])("read $name", async ({ options, want }) => {
  writeFileSync(path, `${line(1, "a")}${line(2, "b")}half a line of a crash\n${line(3, "c")}`);
  expect(await read(options)).toBe(want);
});

test("a log is followed over a rotation until its container has ended", async () => {
  const clock = new FakeClock(t0);
  const log = new ContainerLogWriter(path, clock);
  log.write("stdout", Buffer.from("old\n"));
  let ended = false;
  let text = "";
  const done = (async () => {
    for await (const chunk of readLog(
      path,
      { follow: true, timestamps: false, tailLines: 0 },
      { clock, ended: () => ended },
      AbortSignal.timeout(60_000),
    ))
      text += chunk.toString();
  })();
  await clock.advance(100);
  for (let i = 0; i < 3; i++) {
    log.write("stdout", Buffer.from(`${"x".repeat(99)}\n`.repeat(60_000)));
    await clock.advance(100);
  }
  log.write("stdout", Buffer.from("end\n"));
  log.close();
  ended = true;
  await clock.advance(1000);
  await done;
  expect([text.length, text.slice(-4)]).toEqual([3 * 60_000 * 100 + 4, "end\n"]);
});

test("a log that is not there is empty", async () => {
  expect(await read()).toBe("");
});

test.each([
  ["", { follow: false, timestamps: false }],
  ["follow=true&timestamps=1&tailLines=5", { follow: true, timestamps: true, tailLines: 5 }],
  ["sinceSeconds=10&limitBytes=7", { follow: false, timestamps: false, since: t0 - 10_000, limitBytes: 7 }],
  ["sinceTime=2030-01-01T00:00:00Z", { follow: false, timestamps: false, since: t0 }],
  ["tailLines=-1", "tailLines: must be a whole number of at least 0"],
  ["limitBytes=0", "limitBytes: must be a whole number of at least 1"],
  ["sinceTime=yesterday", "sinceTime: must be a time as RFC 3339 writes it"],
])("options %s", (query, want) => {
  expect(parseLogOptions(new URLSearchParams(query), t0)).toEqual(want);
});
