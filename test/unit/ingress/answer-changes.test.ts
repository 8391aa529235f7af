import { expect, test } from "vitest";
import { changedAnswer } from "../../../ingress/filter/answer-changes.ts";
import type { TextPart } from "../../../ingress/route/request-text.ts";
import type { AnswerChanges } from "../../../ingress/route/route.ts";
import { filteredRequest } from "../../support/filtered-request.ts";

const source = filteredRequest({ target: "/x?y=1", secure: true });
const text = (value: string): readonly TextPart[] => [{ kind: "text", text: value }];
const scheme: TextPart = { kind: "scheme" };

test.for<[name: string, changes: AnswerChanges, before: readonly string[], after: readonly string[]]>([
  [
    "a prefix of Location; what is behind it stays",
    { location: [{ kind: "prefix", from: text("http://up:8080/app/"), to: [scheme, ...text("://a.test/")] }] },
    ["Location", "http://up:8080/app/x?y", "location", "http://other/"],
    ["Location", "https://a.test/x?y", "location", "http://other/"],
  ],
  [
    "the first that fits",
    {
      location: [
        { kind: "prefix", from: text("/a"), to: text("/1") },
        { kind: "prefix", from: text("/"), to: text("/2/") },
      ],
    },
    ["Location", "/ab", "Location", "/b"],
    ["Location", "/1b", "Location", "/2/b"],
  ],
  [
    "a pattern, and Refresh",
    { location: [{ kind: "regex", pattern: "^http://([^:]+):\\d+/(.*)$", ignoreCase: true, to: text("https://$1/$2") }] },
    ["Refresh", "5; URL=HTTP://up:80/a", "Refresh", "5"],
    ["Refresh", "5; URL=https://up/a", "Refresh", "5"],
  ],
  [
    "the domain of cookies, whatever its case and dot",
    { cookieDomain: [{ kind: "whole", from: text(".Up.test"), to: text("a.test") }] },
    ["Set-Cookie", "a=1; Domain=.UP.test; Path=/x", "Set-Cookie", "b=2; domain=other.test", "Set-Cookie", "domain=up.test"],
    ["Set-Cookie", "a=1; Domain=a.test; Path=/x", "Set-Cookie", "b=2; domain=other.test", "Set-Cookie", "domain=up.test"],
  ],
  [
    "the path of cookies",
    { cookiePath: [{ kind: "prefix", from: text("/app/"), to: text("/") }] },
    ["Set-Cookie", "a=1; path=/app/x; HttpOnly", "Set-Cookie", "b=2; Path=/appx"],
    ["Set-Cookie", "a=1; path=/x; HttpOnly", "Set-Cookie", "b=2; Path=/appx"],
  ],
  ["headers that are not the client's", { hide: ["x-powered-by"] }, ["X-Powered-By", "x", "A", "b"], ["A", "b"]],
  [
    "nothing that would end the line",
    { location: [{ kind: "prefix", from: text("/"), to: text("/\r\nSet-Cookie: a=b") }] },
    ["Location", "/x"],
    ["Location", "/x"],
  ],
])("%s", ([, changes, before, after]) => {
  expect(changedAnswer(before, changes, source)).toEqual(after);
});
