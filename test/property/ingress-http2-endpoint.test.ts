import fc from "fast-check";
import { expect, test } from "vitest";
import { runs } from "../support/runs.ts";
import { frame, frameType as T } from "../unit/ingress/http2-frames.ts";
import { data, goaway, head, reset, ScriptedEndpoint, settings, u32 } from "../unit/ingress/scripted-endpoint.ts";

/** What three requests are told, and whether the connection ended, when these bytes come in pieces of those sizes. */
function replay(bytes: Buffer, sizes: readonly number[]): { readonly told: readonly (readonly string[])[]; readonly ended: boolean } {
  const endpoint = new ScriptedEndpoint();
  const requests = [endpoint.ask(), endpoint.ask("HEAD"), endpoint.ask("POST", { kind: "chunked" })];
  const connection = endpoint.connection().ready().hear(settings());
  connection.hear(bytes, sizes);
  return { told: requests.map((r) => r.told), ended: connection.ended };
}

const stream = fc.constantFrom(1, 1, 3, 3, 5, 5, 7);
const flags = fc.constantFrom(4, 4, 4, 5);
const field = fc.constantFrom<readonly [string, string]>(["x-a", "b"], ["content-length", "3"], ["content-length", "0"], ["X-Bad", "b"]);
const status = fc.constantFrom("200", "200", "200", "103", "204", "101");
const frames = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(stream, flags, status, fc.array(field, { maxLength: 2 }))
      .map(([s, f, code, more]) => head(s, f, [":status", code], ...more)),
  },
  { weight: 2, arbitrary: fc.tuple(stream, fc.array(field, { maxLength: 2 })).map(([s, more]) => head(s, 5, ...more)) },
  { weight: 8, arbitrary: fc.tuple(stream, fc.constantFrom(0, 1), fc.string({ maxLength: 5 })).map(([s, f, text]) => data(s, f, text)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(stream, fc.nat(6))
      .map(([s, n]) => frame(T.data, 8, s, Buffer.concat([Buffer.from([n]), Buffer.from("abc"), Buffer.alloc(n)]))),
  },
  { weight: 2, arbitrary: fc.tuple(stream, fc.constantFrom(0, 7, 8)).map(([s, code]) => reset(s, code)) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 3, 5).map((last) => goaway(last)) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(settings(), settings([4, 7]), frame(T.ping, 0, 0, Buffer.alloc(8)), frame(0x20, 0, 3, Buffer.from("what?"))),
  },
  { weight: 1, arbitrary: stream.map((s) => frame(T.window, 0, s, u32(9))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)) },
);

const announced = head(1, 4, [":status", "200"], ["content-length", "3"]);
// what of such a frame comes before the rest of it is not told either: its head has said enough
const moreThanAnnounced: [Buffer[], number[]][] = [
  [[announced, data(1, 0, "four")], [1]],
  [[announced, frame(T.data, 8, 1, Buffer.from("\x02four\0\0"))], [1]],
];

test("however the bytes of an endpoint are cut, each request is told the same, and nothing behind its end", () => {
  fc.assert(
    fc.property(
      fc.array(frames, { maxLength: 25 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
      (list, sizes) => {
        const bytes = Buffer.concat(list);
        const whole = replay(bytes, [Math.max(1, bytes.length)]);
        expect(replay(bytes, sizes)).toEqual(whole);
        for (const told of whole.told) {
          const over = told.findIndex((t) => t === "complete" || t.startsWith("failed"));
          expect(over < 0 || over === told.length - 1).toBe(true);
          expect(told.filter((t) => t.startsWith("head")).length).toBeLessThanOrEqual(1);
        }
      },
    ),
    { ...runs(500), examples: moreThanAnnounced },
  );
});
