import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { applyDigestAuth } from "../../../ingress/filter/digest-auth.ts";
import { SealedNonces } from "../../../ingress/filter/digest-nonces.ts";
import type { FilterContext, FilteredRequest, FilterOutcome } from "../../../ingress/filter/outcome.ts";
import { questionWorld } from "../../../ingress/proxy/filter-world.ts";
import type { FilterOf } from "../../../ingress/route/filter.ts";
import { readDigestUsers } from "../../../ingress/translate/user-list.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { filteredRequest } from "../../support/filtered-request.ts";

type Algorithm = "MD5" | "SHA-256";
const h = (a: Algorithm, text: string): string => createHash(a.replace("-", "")).update(text).digest("hex");
const realm = "http-auth@example.org";
const digests = (user: string, password: string) => ({
  md5: h("MD5", `${user}:${realm}:${password}`),
  sha256: h("SHA-256", `${user}:${realm}:${password}`),
});
const filter: FilterOf<"digestAuth"> = {
  kind: "digestAuth",
  realm,
  users: { Mufasa: digests("Mufasa", "Circle of Life"), Jäsøn: digests("Jäsøn", "x"), old: { md5: digests("old", "o").md5 } },
};

/** One process: its nonces, and a clock that the test sets. */
function makeProcess(seed = 0.5) {
  let time = 1_800_000_000_000;
  const nonces = new SealedNonces(() => seed);
  const context: FilterContext = { now: 0, httpsPort: 443, world: { ...questionWorld(systemClock), nonces, time: () => time } };
  const ask = (authorization?: string, change: Partial<FilteredRequest> = {}): FilterOutcome | undefined =>
    applyDigestAuth(
      filter,
      filteredRequest({
        path: "/dir/index.html",
        target: "/dir/index.html?x=1",
        query: "x=1",
        headers: authorization === undefined ? [] : ["authorization", authorization],
        ...change,
      }),
      context,
    );
  return { ask, pass: (ms: number) => (time += ms) };
}

const nonceOf = (o: FilterOutcome | undefined): string => /nonce="([^"]+)"/.exec(o?.reply?.headers[0]?.value ?? "")?.[1] ?? "";

interface Told {
  readonly user?: string;
  readonly password?: string;
  readonly nc?: number;
  readonly uri?: string;
  readonly method?: string;
  readonly algorithm?: Algorithm;
  /** Parameters that replace or, when empty, remove those that a good client sends. */
  readonly change?: Readonly<Record<string, string>>;
}

/** A client as RFC 7616 section 3.4 describes it. */
function authorization(nonce: string, o: Told = {}): string {
  const { user = "Mufasa", password = "Circle of Life", nc = 1, uri = "/dir/index.html?x=1", method = "GET", algorithm = "SHA-256" } = o;
  const count = nc.toString(16).padStart(8, "0");
  const a1 = h(algorithm, `${user}:${realm}:${password}`);
  const response = h(algorithm, `${a1}:${nonce}:${count}:c0:auth:${h(algorithm, `${method}:${uri}`)}`);
  const parameters: Record<string, string> = {
    username: `"${user}"`,
    realm: `"${realm}"`,
    nonce: `"${nonce}"`,
    uri: `"${uri}"`,
    algorithm,
    qop: "auth",
    nc: count,
    cnonce: '"c0"',
    response: `"${response}"`,
    ...o.change,
  };
  const words = Object.entries(parameters).filter(([, v]) => v !== "");
  return `Digest ${words.map(([k, v]) => `${k}=${v}`).join(", ")}`;
}

test("the challenge offers SHA-256 before MD5, each with a nonce", () => {
  const outcome = makeProcess().ask();
  expect(outcome?.reply?.status).toBe(401);
  expect(outcome?.reply?.headers.map((x) => x.value)).toEqual([
    expect.stringMatching(/^Digest realm="http-auth@example.org", qop="auth", algorithm=SHA-256, nonce="[^"]{20,}", userhash=true$/),
    expect.stringMatching(/algorithm=MD5/),
  ]);
});

test.for<[name: string, told: Told, user: string | undefined]>([
  ["the right answer", {}, "Mufasa"],
  ["MD5", { algorithm: "MD5" }, "Mufasa"],
  ["MD5 where none is named", { algorithm: "MD5", change: { algorithm: "" } }, "Mufasa"],
  ["a whole URI", { uri: "http://a.test/dir/index.html?x=1" }, "Mufasa"],
  ["a hash of the user's name", { change: { username: `"${h("SHA-256", `Mufasa:${realm}`)}"`, userhash: "true" } }, "Mufasa"],
  ["a name of other letters", { user: "Jäsøn", password: "x", change: { username: "", "username*": "UTF-8''J%C3%A4s%C3%B8n" } }, "Jäsøn"],
  ["a user with a hash of one kind", { user: "old", password: "o", algorithm: "MD5" }, "old"],
  ["a user with a hash of the other kind", { user: "old", password: "o" }, undefined],
  ["another password", { password: "Circle of life" }, undefined],
  ["nobody", { user: "Scar" }, undefined],
  ["a name that objects have", { user: "__proto__" }, undefined],
  ["another target than is asked for", { uri: "/dir/other.html" }, undefined],
  ["another method than is asked for", { method: "POST" }, undefined],
  ["another realm", { change: { realm: '"other"' } }, undefined],
  ["no qop", { change: { qop: "" } }, undefined],
  ["qop of the body too", { change: { qop: "auth-int" } }, undefined],
  ["a count that is none", { change: { nc: "1" } }, undefined],
  ["a parameter twice", { change: { Username: '"Mufasa"' } }, undefined],
  ["something behind it", { change: { response: '"x" y' } }, undefined],
  ["an algorithm that is not offered", { change: { algorithm: "SHA-512-256" } }, undefined],
])("%s", ([, told, user]) => {
  const { ask } = makeProcess();
  const outcome = ask(authorization(nonceOf(ask()), told));
  expect(outcome?.user).toBe(user);
  expect(outcome?.reply?.status).toBe(user === undefined ? 401 : undefined);
});

test("the server shows that it knows the user too", () => {
  const { ask } = makeProcess();
  const nonce = nonceOf(ask());
  const info = ask(authorization(nonce))?.responseHeaders?.[0];
  const a1 = digests("Mufasa", "Circle of Life").sha256;
  const rspauth = h("SHA-256", `${a1}:${nonce}:00000001:c0:auth:${h("SHA-256", ":/dir/index.html?x=1")}`);
  expect(info).toEqual({ name: "Authentication-Info", value: `qop=auth, rspauth="${rspauth}", cnonce="c0", nc=00000001` });
});

test("each count of a nonce counts once, whatever their order", () => {
  const { ask } = makeProcess();
  const nonce = nonceOf(ask());
  const status = (nc: number): number => ask(authorization(nonce, { nc }))?.reply?.status ?? 200;
  expect([1, 1, 3, 2, 2, 3, 0, 100, 99, 100, 36, 37].map(status)).toEqual([200, 401, 200, 200, 401, 401, 401, 200, 200, 401, 401, 200]);
});

test("a nonce grows old, and the client is told to take another", () => {
  const { ask, pass } = makeProcess();
  const nonce = nonceOf(ask());
  pass(299_000);
  expect(ask(authorization(nonce))?.user).toBe("Mufasa");
  pass(2_000);
  const stale = ask(authorization(nonce, { nc: 2 }));
  expect(stale?.reply?.headers[0]?.value).toContain("stale=true");
  expect(ask(authorization(nonceOf(stale)))?.user).toBe("Mufasa");
});

test("a nonce of another process is good here, one that nobody made is not", () => {
  const here = makeProcess(0.25);
  expect(here.ask(authorization(nonceOf(makeProcess(0.75).ask())))?.user).toBe("Mufasa");
  const made = nonceOf(here.ask());
  expect(here.ask(authorization(`${made.slice(0, -1)}${made.endsWith("A") ? "B" : "A"}`))?.reply?.status).toBe(401);
});

test("a wrong answer says nothing of the nonce", () => {
  const { ask, pass } = makeProcess();
  const nonce = nonceOf(ask());
  pass(600_000);
  expect(ask(authorization(nonce, { password: "x" }))?.reply?.headers[0]?.value).not.toContain("stale");
});

const md5 = "0".repeat(32);
const sha256 = "1".repeat(64);
test.for<[name: string, type: "auth-file" | "auth-map", data: Record<string, string>, users: unknown, faults: number]>([
  ["a file", "auth-file", { auth: `a:${realm}:${md5}\n# x\na:${realm}:${sha256}\n` }, { a: { md5, sha256 } }, 0],
  ["a line of another realm", "auth-file", { auth: `a:other:${md5}\nb:${realm}:${md5}` }, { b: { md5 } }, 1],
  ["a password of basic authentication", "auth-file", { auth: "a:$apr1$x$y" }, {}, 1],
  ["a map", "auth-map", { a: `${realm}:${md5}`, b: sha256 }, { a: { md5 }, b: { sha256 } }, 0],
  ["no file", "auth-file", { users: "x" }, undefined, 1],
])("users: %s", ([, type, stringData, users, faults]) => {
  const read = readDigestUsers({ stringData }, type, realm);
  expect([read.users, read.faults.length]).toEqual([users, faults]);
});
