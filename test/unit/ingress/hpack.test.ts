import { expect, test } from "vitest";
import { HpackDecoder } from "../../../ingress/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../../ingress/http2/hpack-encoder.ts";
import { huffmanDecode, huffmanEncode, huffmanLength } from "../../../ingress/http2/huffman.ts";

const limits = { bytes: 65_536, lines: 200 };
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
/** The lines of one block as `name: value`. */
function decoded(decoder: HpackDecoder, block: Buffer): readonly string[] | undefined {
  return decoder.decode(block, 0, block.length)?.lines.map(({ name, value }) => `${name}: ${value}`);
}

const first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const second = [...first, "cache-control: no-cache"];
const third = [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"];

/** RFC 7541 appendix C: blocks of one connection, one after the other. */
const vectors: readonly (readonly [section: string, blocks: readonly (readonly [block: string, lines: readonly string[]])[]])[] = [
  ["C.2.1", [["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", ["custom-key: custom-header"]]]],
  ["C.2.2", [["040c 2f73 616d 706c 652f 7061 7468", [":path: /sample/path"]]]],
  ["C.2.3", [["1008 7061 7373 776f 7264 0673 6563 7265 74", ["password: secret"]]]],
  ["C.2.4", [["82", [":method: GET"]]]],
  [
    "C.3",
    [
      ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", first],
      ["8286 84be 5808 6e6f 2d63 6163 6865", second],
      ["8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", third],
    ],
  ],
  [
    "C.4",
    [
      ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", first],
      ["8286 84be 5886 a8eb 1064 9cbf", second],
      ["8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", third],
    ],
  ],
];

test.for(vectors)("RFC 7541 %s", ([, blocks]) => {
  const decoder = new HpackDecoder(limits);
  for (const [block, lines] of blocks) expect(decoded(decoder, hex(block))).toEqual(lines);
});

const responses = [
  [":status: 302", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"],
  [":status: 307", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"],
  [
    ":status: 200",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:22 GMT",
    "location: https://www.example.com",
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ],
];

// C.5 and C.6 agree on a table of 256 bytes; here the size is said in the first block, as it would be on the wire
test.for([
  [
    "C.5",
    [
      "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "4803 3330 37c1 c0bf",
      "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ],
  ],
  [
    "C.6",
    [
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
      "4883 640e ffc1 c0bf",
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ],
  ],
] as const)("RFC 7541 %s, with lines pushed out", ([, blocks]) => {
  const decoder = new HpackDecoder(limits);
  for (const [i, block] of blocks.entries()) expect(decoded(decoder, hex(i === 0 ? `3fe101 ${block}` : block))).toEqual(responses.at(i));
});

test.for([
  ["an index past the tables", "be"],
  ["index 0", "80"],
  ["an integer without an end", "ffffffffff"],
  ["an integer that goes on in zeros", `ff${"80".repeat(20)}00`],
  ["a string without an end", "0001 7805 61"],
  ["a string that is not begun", "0001 78"],
  ["the code of the end of a string", "0001 7884 ffffffff"],
  ["padding of zeros", "0001 7881 18"],
  ["eight bits of padding", "0001 7882 1fff"],
  ["a table larger than was agreed", "3fe2 1f"],
  ["a size amid the lines", "8220"],
] as const)("no block: %s", ([, block]) => {
  expect(decoded(new HpackDecoder(limits), hex(block))).toBeUndefined();
});

test.for<[name: string, fields: readonly string[], sound: boolean]>([
  ["a usual line", ["x-a", "b c"], true],
  ["no value", ["x-a", ""], true],
  ["bytes above ASCII", ["x-a", "\xe9"], true],
  ["a name in capitals", ["X-a", "b"], false],
  ["a name with a space", ["x a", "b"], false],
  ["a name with a colon", ["x:a", "b"], false],
  ["no name", ["", "b"], false],
  ["a line's end in the value", ["x-a", "b\r\nc"], false],
  ["a zero in the value", ["x-a", "b\0"], false],
  ["a blank before the value", ["x-a", " b"], false],
  ["a tab after the value", ["x-a", "b\t"], false],
])("RFC 9113 section 8.2.1: %s", ([, fields, sound]) => {
  const block = Buffer.from(new HpackEncoder().fields(fields), "latin1");
  expect(new HpackDecoder(limits).decode(block, 0, block.length)?.sound).toBe(sound);
});

test("fields beyond the limits are read, for the table's sake, and not kept", () => {
  const decoder = new HpackDecoder({ bytes: 1000, lines: 10 });
  const encoder = new HpackEncoder();
  const block = (fields: readonly string[]): Buffer => Buffer.from(encoder.fields(fields), "latin1");
  const many = block(Array.from({ length: 11 }, (_, i) => [`x-${i}`, "y"]).flat());
  expect(decoder.decode(many, 0, many.length)).toMatchObject({ tooLarge: true, lines: { length: 10 } });
  const long = block(["x-0", "y", "x-long", "z".repeat(950)]);
  expect(decoder.decode(long, 0, long.length)).toMatchObject({ tooLarge: true, lines: [{ name: "x-0" }] });
  expect(decoded(decoder, block(["x-10", "y", "x-long", "z".repeat(100)]))).toEqual(["x-10: y", `x-long: ${"z".repeat(100)}`]);
});

test("what is said again costs a byte; secrets and what never comes again stay out of the table", () => {
  const encoder = new HpackEncoder();
  const fields = ["server", "nginx", "x-kind", "shop", "content-length", "1024", "set-cookie", "a=b"];
  const before = encoder.fields(fields);
  const again = encoder.fields(fields);
  // :server and x-kind are indexes; a length of four digits, a cookie of three letters
  expect([before.length > again.length, again.length]).toEqual([true, 2 + 2 + 1 + 3 + 2 + 1 + 3]);
  const decoder = new HpackDecoder(limits);
  for (const block of [before, again])
    expect(decoded(decoder, Buffer.from(block, "latin1"))).toEqual([
      "server: nginx",
      "x-kind: shop",
      "content-length: 1024",
      "set-cookie: a=b",
    ]);
});

test("the block of the same fields is the same string as long as the table is", () => {
  const encoder = new HpackEncoder();
  const fields = ["server", "nginx"];
  encoder.response(200, fields);
  const block = encoder.response(200, fields);
  expect(encoder.response(200, fields)).toBe(block);
  encoder.fields(["x-new", "1"]);
  expect(encoder.response(200, fields)).not.toBe(block);
  expect(encoder.response(404, fields)).not.toBe(encoder.response(200, fields));
});

test("a smaller table is announced, the smallest first, and kept to", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder(limits);
  const say = (fields: readonly string[]): readonly string[] | undefined => decoded(decoder, Buffer.from(encoder.fields(fields), "latin1"));
  say(["x-a", "1"]);
  encoder.limitTable(0);
  encoder.limitTable(100);
  const block = encoder.fields(["x-a", "1"]);
  expect(Buffer.from(block, "latin1").subarray(0, 3).toString("hex")).toBe("203f45");
  expect(decoded(decoder, Buffer.from(block, "latin1"))).toEqual(["x-a: 1"]);
  expect(say(["x-a", "1", "x-b", "2"])).toEqual(["x-a: 1", "x-b: 2"]);
  encoder.limitTable(0);
  expect(say(["x-a", "1"])).toEqual(["x-a: 1"]);
});

test("every byte has a code, and comes back", () => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
  const into = Buffer.alloc(huffmanLength(all));
  expect(huffmanEncode(all, into, 0)).toBe(into.length);
  expect(huffmanDecode(into, 0, into.length)).toBe(all);
});
