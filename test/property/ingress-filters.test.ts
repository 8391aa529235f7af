import fc from "fast-check";
import { expect, test } from "vitest";
import { preferredCoding } from "../../ingress/filter/accept-encoding.ts";
import { changedAnswer } from "../../ingress/filter/answer-changes.ts";
import { applyDigestAuth } from "../../ingress/filter/digest-auth.ts";
import { readKeys, verifyJwt } from "../../ingress/filter/jwt.ts";
import { SharedCounts } from "../../ingress/filter/shared-counts.ts";
import { questionWorld } from "../../ingress/proxy/filter-world.ts";
import { parseTraceParent } from "../../ingress/proxy/trace-context.ts";
import { systemClock } from "../../src/base/clock.ts";
import { filteredRequest } from "../support/filtered-request.ts";
import { runs } from "../support/runs.ts";

/** What clients may put into a header: nonsense, and nonsense that looks like something. */
const piece = fc.constantFrom(
  "Digest",
  "Bearer",
  "=",
  ",",
  ";",
  '"',
  "\\",
  " ",
  ".",
  "-",
  "qop=auth",
  "nc=00000001",
  'nonce="',
  "q=0",
  "gzip",
  "eyJhbGciOiJIUzI1NiJ9",
  "e30",
  "00",
  "*",
  "%",
);
const header = fc.array(fc.oneof(piece, fc.string({ maxLength: 8 })), { maxLength: 20 }).map((parts) => parts.join(""));

test("no header makes a filter throw, or lets somebody in", () => {
  const context = { now: 0, httpsPort: 443, world: questionWorld(systemClock) };
  const users = { ann: { md5: "0".repeat(32) } };
  const { keys } = readKeys(JSON.stringify({ keys: [{ kty: "oct", k: Buffer.alloc(32, 1).toString("base64url") }] }), { shared: true });
  fc.assert(
    fc.property(header, (text) => {
      const request = filteredRequest({ headers: ["authorization", `Digest ${text}`] });
      expect(applyDigestAuth({ kind: "digestAuth", realm: "r", users }, request, context)?.reply?.status).toBe(401);
      expect(verifyJwt(text, keys, { time: 0, leewaySeconds: 0, audiences: [] })).toHaveProperty("fault");
      expect([undefined, "gzip", "br"]).toContain(preferredCoding(text, ["br", "gzip"]));
      expect(parseTraceParent(text)).toBeUndefined();
      const changes = { cookieDomain: [{ kind: "whole", from: [], to: [] }], cookiePath: [{ kind: "prefix", from: [], to: [] }] } as const;
      expect(changedAnswer(["Set-Cookie", text], changes, request)).toHaveLength(2);
    }),
    runs(500),
  );
});

test("whatever order words arrive in, processes that have heard all agree, and none lets in more than the limit by itself", () => {
  const step = fc.record({ who: fc.nat(2), ms: fc.nat(700), order: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (steps, limit) => {
      let time = 1_000_000;
      const all = [0, 1, 2].map(() => new SharedCounts({ time: () => time, peers: () => 2, onUrgent: () => undefined }));
      const use = { bucket: "b", client: "c", limit, windowMs: 1000 };
      const words: { from: number; entries: ReturnType<SharedCounts["all"]> }[] = [];
      const taken: number[] = [];
      for (const { who, ms, order } of steps) {
        time += ms;
        if (all[who]?.take(use) === true) taken.push(time);
        words.push({ from: who, entries: all[who]?.all() ?? [] });
        // one of the words so far, old or new, once more
        const word = words[order % words.length];
        if (word !== undefined) for (const [i, counts] of all.entries()) if (i !== word.from) counts.merge(`p${word.from}`, word.entries);
      }
      for (const [from, counts] of all.entries())
        for (const [i, other] of all.entries()) if (i !== from) other.merge(`p${from}`, counts.all());
      const left = all.map((c) => {
        let n = 0;
        // each is asked on its own: what it takes is not told
        while (n <= limit && c.take(use)) n++;
        return n;
      });
      expect(new Set(left).size).toBe(1);
      const inThisWindow = taken.filter((t) => Math.floor(t / 1000) === Math.floor(time / 1000)).length;
      expect((left[0] ?? 0) + inThisWindow).toBeLessThanOrEqual(Math.max(limit, inThisWindow));
    }),
    runs(200),
  );
});
