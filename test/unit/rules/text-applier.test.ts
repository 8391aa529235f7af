import { expect, test } from "vitest";
import { createTextApplier } from "../../../rules/apply/text-applier.ts";

const signal = new AbortController().signal;

test("whether nft can be used is asked without reading a table and without making one", async () => {
  const asked: string[] = [];
  const applier = createTextApplier((args, input) => {
    asked.push(`${args.join(" ")} < ${input}`);
    return Promise.resolve({ code: 0, stdout: "", stderr: "" });
  });
  await applier.probe(signal);
  expect(asked).toEqual(["-c -f - < add table ip fairway-probe\n"]);
});

test.each([
  [
    "/dev/stdin:1:1-27: Error: Could not process rule: Operation not permitted\nadd table ip fairway-probe\n^^^^^^",
    "UNUSABLE",
    "Operation not permitted",
  ],
  ["netlink: Error: cache initialization failed: No buffer space available", "UNAVAILABLE", "No buffer space"],
])("what it says then: %s", async (stderr, code, text) => {
  const applier = createTextApplier(() => Promise.resolve({ code: 1, stdout: "", stderr }));
  await expect(applier.probe(signal)).rejects.toMatchObject({ code, message: expect.stringContaining(text) });
});

test("a table's rules go in a transaction before the one that removes it with its elements", async () => {
  const asked: string[] = [];
  const applier = createTextApplier((_, input) => {
    asked.push(input);
    return Promise.resolve({ code: 0, stdout: "", stderr: "" });
  });
  await applier.remove(6, "fairway", signal);
  expect(asked).toEqual(["add table ip6 fairway\nflush table ip6 fairway\n", "add table ip6 fairway\ndelete table ip6 fairway\n"]);
});
