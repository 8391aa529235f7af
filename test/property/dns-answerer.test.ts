import fc from "fast-check";
import { expect, test } from "vitest";
import { Answerer } from "../../dns/answer/answerer.ts";
import { questionMessage } from "../../dns/handler/handler.ts";
import { decodeMessage, encodeMessage } from "../../dns/wire/message.ts";
import { canonicalName } from "../../dns/wire/name.ts";
import { runs } from "../support/runs.ts";

const names = [
  "web.shop.svc.cluster.local.",
  "shop.svc.cluster.local.",
  "1-2-3-4.shop.pod.cluster.local.",
  "nope.cluster.local.",
  "www.example.org.",
  ".",
];
const answerer = new Answerer();
answerer.apply({
  revision: 1,
  full: true,
  upserts: [
    { key: "web.shop.svc.cluster.local.", records: { sets: [{ data: [{ kind: "A", ip: "10.0.0.1" }] }] } },
    { key: "shop.pod.cluster.local.", records: { sets: [], podAddresses: true } },
  ],
  deletes: [],
});
answerer.setSynced();

const query = fc
  .record({
    name: fc.constantFrom(...names),
    type: fc.constantFrom(1, 28, 5, 6, 33, 255, 252, 41, 65280),
    udpSize: fc.constantFrom(0, 512, 700, 65535),
    edns: fc.boolean(),
    dnssecOk: fc.boolean(),
  })
  .map((q) => {
    const { edns, ...m } = questionMessage({ name: q.name, type: q.type, class: 1 }, { id: 0x0102 });
    return encodeMessage(q.edns && edns !== undefined ? { ...m, edns: { ...edns, udpSize: q.udpSize, dnssecOk: q.dnssecOk } } : m);
  });

function answerTo(bytes: Uint8Array): Uint8Array | undefined {
  const out = new Uint8Array(1232);
  // as a listener does, whatever came
  answerer.warm([bytes, new Uint8Array(0), bytes.subarray(0, 13)], 3);
  const n = answerer.answer(bytes, bytes.length, "10.0.0.1", out);
  return n === undefined ? undefined : out.subarray(0, n);
}

test("an answer is a message, to the question, no longer than its client can take", () => {
  fc.assert(
    fc.property(query, (bytes) => {
      const out = answerTo(bytes);
      if (out === undefined) return;
      const asked = decodeMessage(bytes);
      const m = decodeMessage(out);
      expect(m.id).toBe(asked.id);
      expect(m.isResponse).toBe(true);
      expect(m.questions).toEqual(asked.questions);
      expect(m.edns === undefined).toBe(asked.edns === undefined);
      expect(m.edns?.dnssecOk).toBe(asked.edns?.dnssecOk);
      expect(out.length).toBeLessThanOrEqual(Math.max(512, asked.edns?.udpSize ?? 0));
      for (const r of [...m.answers]) expect(canonicalName(r.name)).toBe(canonicalName(asked.questions[0]?.name ?? ""));
    }),
    runs(500),
  );
});

test("bytes changed, cut or made up: silence, the chain, or an answer that can be read", () => {
  const changes = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 4 });
  const edited = fc.tuple(query, changes, fc.option(fc.nat(80))).map(([bytes, edits, cut]) => {
    for (const [at, value] of edits) bytes[at % bytes.length] = value;
    return cut === null ? bytes : bytes.subarray(0, cut);
  });
  fc.assert(
    fc.property(fc.oneof(edited, fc.uint8Array({ maxLength: 600 })), (bytes) => {
      const out = answerTo(bytes);
      if (out === undefined || out.length === 0) return;
      const m = decodeMessage(out);
      expect(m.isResponse).toBe(true);
      expect(out[0]).toBe(bytes[0]);
      expect(out.length).toBeLessThanOrEqual(1232);
    }),
    runs(3000),
  );
});
