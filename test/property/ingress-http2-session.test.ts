import fc from "fast-check";
import { expect, test } from "vitest";
import type { ByteOutlet } from "../../ingress/http2/frame-writer.ts";
import { ServerSide } from "../../ingress/http2/server-side.ts";
import type { Http2Stream } from "../../ingress/http2/stream.ts";
import { runs } from "../support/runs.ts";
import { frame, http2Preface, literal, requestFields, frameType as T } from "../unit/ingress/http2-frames.ts";

interface Replayed {
  /** In order; the parts of one body as one. */
  readonly told: readonly string[];
  readonly said: readonly string[];
  /** The connection ended for this. */
  readonly failed: number | undefined;
}

function replay(pieces: Iterable<Buffer>): Replayed {
  const told: string[] = [];
  const said: string[] = [];
  let failed: number | undefined;
  const bodies = new Map<number, string>();
  const outlet: ByteOutlet = {
    queuedBytes: 0,
    write: (data) => {
      said.push(typeof data === "string" ? Buffer.from(data, "latin1").toString("hex") : data.toString("hex"));
      return true;
    },
    cork: () => {},
    uncork: () => {},
    takeBlock: () => Buffer.alloc(16_384),
    giveBlock: () => {},
  };
  const begin = (stream: Http2Stream, what: string): void => {
    told.push(`${stream.id} ${what}`);
    stream.owner = {
      onFields: (lines) => told.push(`${stream.id} trailers ${lines.map((l) => l.name).join()}`),
      onData: (bytes) => bodies.set(stream.id, (bodies.get(stream.id) ?? "") + bytes.toString("latin1")),
      onEnd: () => told.push(`${stream.id} end`),
      onDrain: () => {},
      onClosed: (code) => told.push(`${stream.id} closed ${code}`),
    };
  };
  const { session } = new ServerSide({
    outlet,
    owner: {
      onStream: (stream, lines) => begin(stream, lines.map((l) => `${l.name}=${l.value}`).join("&")),
      onOversized: (stream) => begin(stream, "oversized"),
      onIdle: () => {},
      onFailed: (code) => {
        failed = code;
      },
    },
    limits: { bytes: 1_000, lines: 20 },
    maxStreams: 8,
  });
  session.start();
  for (const piece of pieces) session.receive(piece);
  return { told: [...told, ...[...bodies].map(([stream, body]) => `${stream} body ${body}`)], said, failed };
}

/** A frame that follows those of a client that has begun streams up to `last`. */
type Next = (last: number) => { readonly bytes: Buffer; readonly last: number };

const begin = fc
  .record({
    /** Mostly the next; sometimes one that may not be. */
    step: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(2, 4) }, fc.constantFrom(0, 1, -2)),
    end: fc.boolean(),
    cut: fc.option(fc.nat(60), { nil: undefined }),
    more: fc.constantFrom<readonly (readonly [string, string])[]>(
      [],
      [],
      [["content-length", "3"]],
      [["X-Bad", "y"]],
      [...Array(12).keys()].map((i) => [`x-${i}`, "y".repeat(100)]),
    ),
  })
  .map(({ step, end, cut, more }): Next => {
    const block = requestFields([[":method", "POST"], ...more]);
    const flag = end ? 1 : 0;
    return (last) => {
      const id = Math.max(0, last + step);
      const bytes =
        cut === undefined
          ? frame(T.headers, 4 | flag, id, block)
          : Buffer.concat([frame(T.headers, flag, id, block.subarray(0, cut)), frame(T.continuation, 4, id, block.subarray(cut))]);
      return { bytes, last: Math.max(last, id) };
    };
  });
/** Of the streams that were begun, so many before the last. */
const back = fc.constantFrom(0, 0, 2, 4);
const data = fc
  .record({ back, text: fc.string({ maxLength: 40 }), end: fc.boolean(), padding: fc.option(fc.nat(20), { nil: undefined }) })
  .map(({ back: by, text, end, padding }): Next => {
    const body = Buffer.from(text, "latin1");
    const payload = padding === undefined ? body : Buffer.concat([Buffer.from([padding]), body, Buffer.alloc(padding)]);
    const flags = (end ? 1 : 0) | (padding === undefined ? 0 : 8);
    return (last) => ({ bytes: frame(T.data, flags, Math.max(1, last - by), payload), last });
  });
const other = fc.oneof(
  fc.constant<Next>((last) => ({ bytes: frame(T.ping, 0, 0, Buffer.from("12345678")), last })),
  fc.constant<Next>((last) => ({ bytes: frame(T.settings, 0, 0), last })),
  back.map(
    (by): Next =>
      (last) => ({ bytes: frame(T.window, 0, Math.max(0, last - by), Buffer.alloc(4, 1)), last }),
  ),
  back.map(
    (by): Next =>
      (last) => ({ bytes: frame(T.priority, 0, Math.max(1, last - by), Buffer.alloc(5)), last }),
  ),
  back.map(
    (by): Next =>
      (last) => ({ bytes: frame(T.headers, 5, Math.max(1, last - by), literal("x-trailer", "y")), last }),
  ),
  fc.integer({ min: 10, max: 255 }).map(
    (type): Next =>
      (last) => ({ bytes: frame(type, 0, Math.max(0, last), Buffer.from("what?")), last }),
  ),
);
const nonsense = fc.uint8Array({ maxLength: 30 }).map(
  (bytes): Next =>
    (last) => ({ bytes: Buffer.from(bytes), last }),
);

/** What a client sends. Resets are left out: what is begun and given up within one read is never told. */
const conversations = fc
  .array(
    fc.oneof(
      { weight: 20, arbitrary: begin },
      { weight: 20, arbitrary: data },
      { weight: 10, arbitrary: other },
      { weight: 1, arbitrary: nonsense },
    ),
    { maxLength: 20 },
  )
  .map((list) => {
    const parts = [http2Preface, frame(T.settings, 0, 0)];
    let last = -1;
    for (const next of list) {
      const added = next(last);
      parts.push(added.bytes);
      ({ last } = added);
    }
    return Buffer.concat(parts);
  });

test("however the bytes of a client are cut, a session hears and says the same", () => {
  fc.assert(
    fc.property(conversations, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }), (bytes, sizes) => {
      const whole = replay([bytes]);
      const pieces = replay(cut(bytes, sizes));
      // what ends the connection comes before the streams of the same read
      if (whole.failed === undefined) expect(pieces).toEqual(whole);
      else expect(pieces.failed).toBe(whole.failed);
    }),
    runs(500),
  );
});

/** Pieces of those sizes in turn, all from one memory, as connections read. */
function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  const shared = Buffer.alloc(32);
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const piece = bytes.subarray(at, at + (sizes[i % sizes.length] ?? 1));
    shared.fill(0xaa);
    piece.copy(shared);
    yield shared.subarray(0, piece.length);
    at += piece.length;
  }
}
