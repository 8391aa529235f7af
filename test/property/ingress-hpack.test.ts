import fc from "fast-check";
import { expect, test } from "vitest";
import { HpackDecoder } from "../../ingress/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../ingress/http2/hpack-encoder.ts";
import { huffmanDecode, huffmanEncode, huffmanLength } from "../../ingress/http2/huffman.ts";
import { runs } from "../support/runs.ts";

const latin1 = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const name = fc.constantFrom("server", "date", "x-a", "x-b", "etag", "set-cookie", ":path", "accept-encoding", "x-long");
const block = fc.record({
  fields: fc
    .array(fc.tuple(name, fc.oneof(latin1, fc.constantFrom("", "gzip, deflate", "one"))), { maxLength: 20 })
    .map((all) => all.flat()),
  table: fc.option(fc.integer({ min: 0, max: 5000 })),
});

test("what one side's table says the other's reads, whatever the sizes", () => {
  fc.assert(
    fc.property(fc.array(block, { maxLength: 30 }), (blocks) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder({ bytes: 1 << 20, lines: 1000 });
      for (const { fields, table } of blocks) {
        if (table !== null) encoder.limitTable(table);
        for (const text of [encoder.response(200, fields), encoder.response(200, fields), encoder.fields([":status", "200", ...fields])]) {
          const bytes = Buffer.from(text, "latin1");
          expect(decoder.decode(bytes, 0, bytes.length)?.lines.flatMap((l) => [l.name, l.value])).toEqual([":status", "200", ...fields]);
        }
      }
    }),
    runs(200),
  );
});

test("Huffman: every text comes back, and arbitrary bytes end", () => {
  fc.assert(
    fc.property(latin1, (text) => {
      const into = Buffer.alloc(huffmanLength(text));
      expect(huffmanEncode(text, into, 0)).toBe(into.length);
      expect(huffmanDecode(into, 0, into.length)).toBe(text);
    }),
    runs(500),
  );
});

test("arbitrary bytes are a block or none; the decoder always ends", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const fields = new HpackDecoder({ bytes: 1000, lines: 20 }).decode(Buffer.from(bytes), 0, bytes.length);
      if (fields !== undefined) expect(fields.lines.length).toBeLessThanOrEqual(20);
    }),
    runs(1000),
  );
});
