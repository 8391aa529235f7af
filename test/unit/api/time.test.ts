import { describe, expect, it } from "vitest";
import { parseMicroTime, parseTime } from "../../../src/api/time.ts";

const two = (n: number): string => String(n).padStart(2, "0");
const calendar = ["2023", "2024", "1900", "2000"].flatMap((year) =>
  Array.from({ length: 14 }, (_, month) => Array.from({ length: 33 }, (_, day) => `${year}-${two(month)}-${two(day)}T09:08:07Z`)).flat(),
);
const clock = ["00:00:00", "23:59:59", "24:00:00", "12:60:00", "12:00:60", "19:00:00", "20:30:59"].map((t) => `2024-05-31T${t}Z`);
const forms = [
  "2024-05-31T10:00:00+02:00",
  "2024-05-31T10:00:00.5Z",
  "2024-05-31t10:00:00Z",
  "2024-05-31T10:00:00Z ",
  "2024-5-31T10:00:00Z",
];

/** Whole seconds of what the other reader, which has no short way, makes of it; undefined when it refuses. */
function wholeSeconds(text: string): string | undefined {
  const micro = parseMicroTime(text);
  return typeof micro === "string" ? `${micro.slice(0, 19)}Z` : undefined;
}

describe("times of objects", () => {
  it("are read alike with whole seconds and with fractions, on every day there is and is not", () => {
    for (const text of [...calendar, ...clock, ...forms]) {
      const read = parseTime(text);
      expect([text, typeof read === "string" ? read : undefined]).toEqual([text, wholeSeconds(text)]);
    }
  });

  it("are told in Go's words when they are none", () => {
    expect(parseTime("2024-02-30T00:00:00Z")).toEqual({ error: 'parsing time "2024-02-30T00:00:00Z": day out of range' });
    expect(parseTime("2024-05-31")).toEqual({
      error: 'parsing time "2024-05-31" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"',
    });
  });
});
