import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { applyJwtAuth } from "../../../ingress/filter/jwt-auth.ts";
import type { FilterContext, FilterOutcome } from "../../../ingress/filter/outcome.ts";
import { questionWorld } from "../../../ingress/proxy/filter-world.ts";
import { PublishedKeys } from "../../../ingress/proxy/key-sets.ts";
import type { FilterOf } from "../../../ingress/route/filter.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { filteredRequest } from "../../support/filtered-request.ts";
import { get, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const now = 1_800_000_000;
const pairs = {
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  weak: generateKeyPairSync("rsa", { modulusLength: 1024 }),
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ed: generateKeyPairSync("ed25519"),
};
const secret = Buffer.alloc(32, 7);
const jwk = (key: KeyObject, more: object = {}): object => ({ ...key.export({ format: "jwk" }), ...more });
const set = (...keys: readonly object[]): string => JSON.stringify({ keys });
const keys = set(
  jwk(pairs.rsa.publicKey, { kid: "rsa" }),
  jwk(pairs.weak.publicKey, { kid: "weak" }),
  jwk(pairs.p256.publicKey, { kid: "p256", alg: "ES256", use: "sig" }),
  jwk(pairs.p384.publicKey, { kid: "p384", use: "enc" }),
  jwk(pairs.ed.publicKey, { kid: "ed" }),
  { kty: "oct", k: secret.toString("base64url"), kid: "shared" },
);

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const good = { sub: "ann", iss: "https://issuer.test", aud: ["shop", "x"], exp: now + 60, realm: { roles: ["a", "b"] }, n: 3 };

/** A token signed as its algorithm says. */
function token(alg: string, kid: string | undefined, claims: object = good, head: object = {}): string {
  const text = `${encode({ alg, ...(kid === undefined ? {} : { kid }), ...head })}.${encode(claims)}`;
  const key = pairs[(kid ?? "rsa") as keyof typeof pairs]?.privateKey;
  const bytes = Buffer.from(text);
  const hash = `sha${alg.slice(2)}`;
  const proof = alg.startsWith("HS")
    ? createHmac(hash, secret).update(bytes).digest()
    : alg === "EdDSA"
      ? sign(null, bytes, key)
      : alg.startsWith("ES")
        ? sign(hash, bytes, { key, dsaEncoding: "ieee-p1363" })
        : alg.startsWith("PS")
          ? sign(hash, bytes, { key, padding: 6, saltLength: -1 })
          : sign(hash, bytes, key);
  return `${text}.${proof.toString("base64url")}`;
}

const filter: FilterOf<"jwt"> = {
  kind: "jwt",
  realm: "shop",
  keys: { kind: "inline", sets: [keys] },
  issuer: "https://issuer.test",
  audiences: ["shop"],
  leewaySeconds: 10,
  claimHeaders: [
    { claim: "sub", header: "X-User" },
    { claim: "realm.roles", header: "X-Roles" },
    { claim: "n", header: "X-N" },
    { claim: "email", header: "X-Email" },
  ],
};

const context = (time = now): FilterContext => ({
  now: 0,
  httpsPort: 443,
  world: { ...questionWorld(systemClock), time: () => time * 1000 },
});

async function ask(f: FilterOf<"jwt">, headers: readonly string[], c: FilterContext = context()): Promise<FilterOutcome | undefined> {
  return applyJwtAuth(f, filteredRequest({ headers }), c);
}

const bearer = (text: string): readonly string[] => ["authorization", `Bearer ${text}`];

test.for<[name: string, text: string, fault: string | undefined]>([
  ["RS256", token("RS256", "rsa"), undefined],
  ["RS512", token("RS512", "rsa"), undefined],
  ["PS256", token("PS256", "rsa"), undefined],
  ["ES256", token("ES256", "p256"), undefined],
  ["EdDSA", token("EdDSA", "ed"), undefined],
  ["HS256", token("HS256", "shared"), undefined],
  ["no key named", token("RS256", undefined), undefined],
  ["an hour of leeway short of expiry", token("RS256", "rsa", { ...good, exp: now - 9 }), undefined],
  ["one audience as a text", token("RS256", "rsa", { ...good, aud: "shop" }), undefined],
  ["expired", token("RS256", "rsa", { ...good, exp: now - 10 }), "it has expired"],
  ["without an end", token("RS256", "rsa", { ...good, exp: undefined }), "it does not say when it expires"],
  ["not valid yet", token("RS256", "rsa", { ...good, nbf: now + 11 }), "it is not valid yet"],
  ["of another issuer", token("RS256", "rsa", { ...good, iss: "x" }), "its issuer is another"],
  ["for another audience", token("RS256", "rsa", { ...good, aud: ["y"] }), "it is for another audience"],
  ["for no audience", token("RS256", "rsa", { ...good, aud: undefined }), "it is for another audience"],
  ["with critical extensions", token("RS256", "rsa", good, { crit: ["x"] }), "it has critical extensions"],
  ["unsigned", `${encode({ alg: "none" })}.${encode(good)}.`, "no key is known for it"],
  ["signed with the text of a public key", token("HS256", "rsa"), "no key is known for it"],
  ["by a key that is too short", token("RS256", "weak"), "no key is known for it"],
  ["by a key for encryption", token("ES384", "p384"), "no key is known for it"],
  ["by another algorithm than the key's", token("ES256", "p256", good, { alg: "ES384" }), "no key is known for it"],
  ["changed", token("RS256", "rsa").replace(/\.[^.]+\./, `.${encode({ ...good, sub: "root" })}.`), "its signature is wrong"],
  ["of two parts", "a.b", "it is no signed token"],
  ["no JSON", "e30x.e30.x", "it is no signed token"],
])("a token %s", async ([, text, fault]) => {
  const outcome = await ask(filter, bearer(text));
  const challenge = outcome?.reply?.headers[0]?.value;
  expect([outcome?.user, challenge]).toEqual(
    fault === undefined ? ["ann", undefined] : [undefined, `Bearer realm="shop", error="invalid_token", error_description="${fault}"`],
  );
  expect(outcome?.reply?.status).toBe(fault === undefined ? undefined : 401);
});

test("claims go on as headers, those that are not there as nothing", async () => {
  const outcome = await ask(filter, bearer(token("RS256", "rsa")));
  expect(outcome?.requestHeaders).toEqual([
    { name: "X-User", value: "ann" },
    { name: "X-Roles", value: "a,b" },
    { name: "X-N", value: "3" },
    { name: "X-Email", value: "" },
  ]);
});

test("without a token: a challenge without a fault; a cookie counts where it is named", async () => {
  const text = token("EdDSA", "ed");
  expect((await ask(filter, []))?.reply?.headers).toEqual([{ name: "WWW-Authenticate", value: 'Bearer realm="shop"' }]);
  const unnamed = await ask({ ...filter, realm: "" }, []);
  expect(unnamed?.reply?.headers).toEqual([{ name: "WWW-Authenticate", value: 'Bearer realm="a.test"' }]);
  expect((await ask(filter, ["cookie", `t=${text}`]))?.reply?.status).toBe(401);
  expect((await ask({ ...filter, cookie: "t" }, ["cookie", `a=b; t=${text}`]))?.user).toBe("ann");
});

test("a token that was good is not good for longer than it says", async () => {
  const text = token("RS256", "rsa");
  expect((await ask(filter, bearer(text)))?.user).toBe("ann");
  expect((await ask(filter, bearer(text), context(now + 70)))?.reply?.status).toBe(401);
});

/** Keys behind a URL, a clock that the test sets, and what was asked. */
function makeKeys(text: () => string) {
  let ms = 0;
  let asked = 0;
  const clock: Clock = { ...systemClock, monotonic: () => ms };
  const keySets = new PublishedKeys({
    clock,
    log: () => undefined,
    get: async () => {
      asked++;
      return text();
    },
  });
  const c: FilterContext = { now: 0, httpsPort: 443, world: { ...questionWorld(systemClock), keySets, time: () => now * 1000 } };
  const status = async (t: string): Promise<number> =>
    (await ask({ ...filter, keys: { kind: "url", url: "http://k.test/" } }, bearer(t), c))?.reply?.status ?? 200;
  return { status, pass: (n: number) => (ms += n), asked: () => asked };
}

test("keys behind a URL are asked for once, again for a key that is not known, and not too often", async () => {
  let text = set(jwk(pairs.rsa.publicKey, { kid: "rsa" }));
  const k = makeKeys(() => text);
  expect(await Promise.all([k.status(token("RS256", "rsa")), k.status(token("PS256", "rsa"))])).toEqual([200, 200]);
  expect(k.asked()).toBe(1);
  text = set(jwk(pairs.ed.publicKey, { kid: "ed" }));
  expect(await k.status(token("EdDSA", "ed"))).toBe(401);
  expect(k.asked()).toBe(1);
  k.pass(5_000);
  expect(await k.status(token("EdDSA", "ed"))).toBe(200);
  for (let i = 0; i < 10; i++) expect(await k.status(token("ES256", "p256"))).toBe(401);
  expect(k.asked()).toBe(2);
});

test("keys are kept while their server is away, for an hour; shared keys are not taken from a URL", async () => {
  let text = keys;
  const k = makeKeys(() => text);
  expect(await k.status(token("HS256", "shared"))).toBe(401);
  expect(await k.status(token("RS256", "rsa"))).toBe(200);
  text = "nonsense";
  k.pass(3_000_000);
  expect(await k.status(token("ES256", "p256"))).toBe(200);
  k.pass(700_000);
  expect(await k.status(token("ES256", "p256", { ...good, sub: "eve" }))).toBe(503);
});

test("through the proxy: keys from their server, claims to the endpoint and none of the client's own words", async () => {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const body = set(jwk(pairs.p256.publicKey));
  const jwks = await RawEndpoint.start((r) => r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
  const f: FilterOf<"jwt"> = { ...filter, keys: { kind: "url", url: `http://127.0.0.1:${jwks.port}/keys` } };
  const { ingress, http } = await startLab([up.port], { routes: [makeRoute({ filters: [f] })] });
  open.push(up, jwks, ingress);
  const client = RawClient.connect(http);
  open.push({ close: async () => void client.socket.destroy() });
  const text = token("ES256", undefined, { ...good, exp: Math.floor(Date.now() / 1000) + 60 }).split(".");
  const p256 = `${encode({ alg: "ES256" })}.${text[1]}`;
  const proof = sign("sha256", Buffer.from(p256), { key: pairs.p256.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url");
  const answer = await client
    .send(get("/", `Authorization: Bearer ${p256}.${proof}\r\nX-Email: root@a.test\r\n`))
    .until((t) => t.endsWith("ok"));
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(up.seen[0]?.head).toContain("X-User: ann\r\n");
  expect(up.seen[0]?.head).not.toMatch(/x-email/i);
  expect(jwks.seen.map((s) => s.head.split("\r\n", 1)[0])).toEqual(["GET /keys HTTP/1.1"]);
});
