import { expect, test } from "vitest";
import type { Frontend, Member, Pool } from "../../../rules/plan/frontend.ts";
import { compareFrontends } from "../../../rules/plan/frontend-change.ts";

/** A pool as a word: a letter an endpoint. */
const pool = (word: string): Pool => ({ id: "p", members: word.split("").map((ip): Member => ({ ip, port: 80, local: false })) });
const frontend = (word: string, local?: string): Frontend => ({
  key: "10.96.0.1:80/tcp",
  scope: "clusterIP",
  family: 4,
  ip: "10.96.0.1",
  port: 80,
  protocol: "tcp",
  action: { kind: "balance", pool: pool(word), ...(local === undefined ? {} : { localPool: pool(local) }) },
  masquerade: "never",
  owner: { namespace: "shop", name: "web", port: "", protocol: "tcp" },
});
const rejecting: Frontend = { ...frontend(""), action: { kind: "reject" } };

test.each([
  ["nothing", frontend("abc"), frontend("abc"), "", ""],
  ["one in the middle", frontend("abd"), frontend("acd"), "c", "b"],
  ["the first", frontend("bcd"), frontend("acd"), "a", "b"],
  ["the last", frontend("abc"), frontend("abd"), "d", "c"],
  ["one more", frontend("ac"), frontend("abc"), "b", ""],
  ["one less", frontend("abc"), frontend("ac"), "", "b"],
  ["two apart, and what is between stays", frontend("abcde"), frontend("xbcdy"), "xy", "ae"],
  ["all", frontend("abc"), frontend("xyz"), "xyz", "abc"],
  ["a new one", undefined, frontend("ab"), "ab", ""],
  ["one that goes", frontend("ab"), undefined, "", "ab"],
  ["nobody serves any more", frontend("ab"), rejecting, "", "ab"],
  ["a policy Local: those of either pool", frontend("ab", "b"), frontend("ac", "c"), "c", "b"],
  ["a policy that becomes Local", frontend("ab"), frontend("ab", "bc"), "c", ""],
])("endpoints gained and lost: %s", (_, before, after, gained, lost) => {
  const change = compareFrontends(before, after);
  expect(change.gained).toEqual(gained.split("").map((ip) => `${ip}:80`));
  expect(change.lost).toEqual(lost.split("").map((ip) => `${ip}:80`));
});
