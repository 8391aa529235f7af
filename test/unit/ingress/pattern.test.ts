import { describe, expect, test } from "vitest";
import { PathTooLong, pathPattern, pathPatternFault, patternOf } from "../../../ingress/route/pattern.ts";

interface Case {
  readonly name: string;
  readonly pattern: string;
  readonly text: string;
  /** What the groups are; `undefined`: not found. */
  readonly want: readonly (string | undefined)[] | undefined;
}

const paths: readonly Case[] = [
  { name: "a beginning", pattern: "/api", text: "/API/v1", want: ["/API"] },
  { name: "not within", pattern: "/api", text: "/x/api", want: undefined },
  { name: "what rewrites are made of", pattern: "/something(/|$)(.*)", text: "/something/new", want: ["/something/new", "/", "new"] },
  { name: "its end", pattern: "/something(/|$)(.*)", text: "/something", want: ["/something", "", ""] },
  { name: "and no further", pattern: "/something(/|$)(.*)", text: "/somethingelse", want: undefined },
  { name: "groups in groups", pattern: "/(v(\\d+)|new)/(.*)", text: "/v12/x", want: ["/v12/x", "v12", "12", "x"] },
  { name: "a group that is not there", pattern: "/(a)?(b)?c", text: "/bc", want: ["/bc", undefined, "b"] },
  { name: "a last letter that may be missing", pattern: "/ab?", text: "/a", want: ["/a"] },
  { name: "alternatives of a whole path", pattern: "/a|/b", text: "/b", want: ["/b"] },
  { name: "classes as POSIX names them", pattern: "/[[:digit:]]+", text: "/12", want: ["/12"] },
  { name: "look-ahead behind letters", pattern: "/(?!admin|static)(.*)", text: "/web/x", want: ["/web/x", "web/x"] },
  { name: "what it excludes", pattern: "/(?!admin|static)(.*)", text: "/Admin/x", want: undefined },
  { name: "look-ahead in a group", pattern: "/((?!api).*)", text: "/web", want: ["/web", "web"] },
  { name: "what that excludes", pattern: "/((?!api).*)", text: "/api", want: undefined },
  { name: "look-ahead that must hold", pattern: "/(?=a)(.*)", text: "/ab", want: ["/ab", "ab"] },
  { name: "its groups are counted", pattern: "/(?!(x))(.*)", text: "/ab", want: ["/ab", "", "ab"] },
  { name: "an anchor of its own", pattern: "^/old/(.*)$", text: "/old/x", want: ["/old/x", "x"] },
  { name: "one of an alternative", pattern: "^/a|/b", text: "/b", want: ["/b"] },
  {
    name: "elements of a path",
    pattern: "^/older/([a-z]+)/([^/]+)/(.*)$",
    text: "/older/a/b/c/d",
    want: ["/older/a/b/c/d", "a", "b", "c/d"],
  },
  { name: "one of them that is no word", pattern: "/older/([a-z]+)/(.*)", text: "/older/1/c", want: undefined },
  { name: "a carriage return is a character like others", pattern: "/a(.*)$", text: "/a\rb", want: ["/a\rb", "\rb"] },
  { name: "two in a row", pattern: "/(?!a)(?!b)(.*)", text: "/b", want: undefined },
];

describe("patterns of paths", () => {
  for (const { name, pattern, text, want } of paths)
    test(name, () => {
      const groups = pathPattern(pattern, true).groups(text);
      expect(groups === undefined ? undefined : [...groups]).toEqual(want);
      expect(pathPattern(pattern, true).test(text)).toBe(want !== undefined);
    });
});

describe("patterns of headers", () => {
  for (const { pattern, text, want } of [
    { pattern: "beta", text: "a beta user", want: true },
    { pattern: "^beta", text: "a beta user", want: false },
    { pattern: "^(?!bot).*$", text: "bot 1", want: false },
    { pattern: "^(?!bot).*$", text: "a bot", want: true },
    { pattern: "Beta", text: "beta", want: false },
  ])
    test(`${pattern} in ${text}`, () => {
      expect(patternOf(pattern, false).test(text)).toBe(want);
    });
});

describe("what cannot be run in linear time", () => {
  for (const { pattern, fault } of [
    { pattern: "/x(?=.*y)", fault: undefined },
    { pattern: "/.*(?!y)", fault: /look-ahead.*longer path/ },
    { pattern: "/((?!y).)*", fault: /look-ahead/ },
    { pattern: "/((?!y)|z).*", fault: /look-ahead/ },
    { pattern: "/(?!y)a|/b", fault: /look-ahead/ },
    { pattern: "/(?!y)?a", fault: /look-ahead/ },
    { pattern: "/(?<=y)a", fault: /look-behind/ },
    { pattern: "/(a)\\1", fault: /back-reference/ },
    { pattern: "/(?>a+)b", fault: /atomic/ },
    { pattern: "/a++b", fault: /possessive/ },
    { pattern: "/[x", fault: /\]/ },
    { pattern: "/(x", fault: /\)/ },
    { pattern: `/${"(.{40}y){40}"}z`, fault: /repeat|steps/ },
    { pattern: `/${"(?:.y?){300}".repeat(3)}z`, fault: /steps/ },
  ])
    test(pattern, () => {
      const found = pathPatternFault(pattern);
      if (fault === undefined) expect(found).toBeUndefined();
      else expect(found).toMatch(fault);
    });
});

describe("patterns that a backtracking matcher never ends", () => {
  const long = `/${"a".repeat(8000)}!`;
  for (const pattern of [
    "/(a+)+$",
    "/(a|a)*$",
    "/(a|aa)+$",
    "/(.*)(.*)(.*)(.*)(.*)x",
    "/a*a*a*a*a*a*b",
    "/([a-z]+)*\\d",
    "/(a*)[^/]*/([^/]+)/(.*)x$",
    "/([a-z]+)/([^/]+)/(.*)x$",
  ])
    test(pattern, () => {
      expect(pathPattern(pattern, true).test(long)).toBe(false);
      expect(pathPattern(pattern, true).groups(long)).toBeUndefined();
    });

  test("a path too long for a pattern of many steps is nobody's", () => {
    const pattern = pathPattern("/(x|/)*.{200}y", true);
    expect(() => pattern.test(`/${"x".repeat(8000)}`)).toThrow(PathTooLong);
    expect(pattern.test(`/${"x".repeat(300)}y`)).toBe(true);
    expect(pathPattern("/other(x|/)*.{200}y", true).test(`/${"x".repeat(8000)}`)).toBe(false);
  });
});
