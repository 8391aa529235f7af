import packet, { type Answer } from "dns-packet";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeMessage, encodeMessage } from "../../dns/wire/message.ts";
import { printRecord } from "../../dns/wire/zone-file.ts";
import { runs } from "../support/runs.ts";

// another codec's messages are read, and ours are read by it: neither's mistakes can cancel out
const label = fc.stringMatching(/^[a-zA-Z0-9_]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const u16 = fc.integer({ min: 0, max: 0xffff });
const u31 = fc.integer({ min: 0, max: 0x7fffffff });
const octet = fc.integer({ min: 0, max: 255 });
const ipv4 = fc.tuple(octet, octet, octet, octet).map((o) => o.join("."));

/** A record as the other codec has it, and the line that it must be here. */
const pair = fc
  .record({ name, ttl: u31, target: name, ip: ipv4, n: u16, m: u16, port: u16, text: fc.stringMatching(/^[a-z0-9 ]{0,20}$/), serial: u31 })
  .chain(({ name: owner, ttl, target, ip, n, m, port, text, serial }) => {
    const head = { name: owner, ttl, class: "IN" as const };
    const line = (type: string, data: string): string => `${owner}. ${ttl} IN ${type} ${data}`;
    const pairs: readonly (readonly [Answer, string])[] = [
      [{ ...head, type: "A", data: ip }, line("A", ip)],
      [{ ...head, type: "AAAA", data: "fd00::1:2" }, line("AAAA", "fd00::1:2")],
      [{ ...head, type: "CNAME", data: target }, line("CNAME", `${target}.`)],
      [{ ...head, type: "PTR", data: target }, line("PTR", `${target}.`)],
      [{ ...head, type: "NS", data: target }, line("NS", `${target}.`)],
      [{ ...head, type: "MX", data: { preference: n, exchange: target } }, line("MX", `${n} ${target}.`)],
      [{ ...head, type: "SRV", data: { priority: n, weight: m, port, target } }, line("SRV", `${n} ${m} ${port} ${target}.`)],
      [{ ...head, type: "TXT", data: [text] }, line("TXT", `"${text}"`)],
      [
        { ...head, type: "SOA", data: { mname: target, rname: owner, serial, refresh: n, retry: m, expire: port, minimum: ttl } },
        line("SOA", `${target}. ${owner}. ${serial} ${n} ${m} ${port} ${ttl}`),
      ],
    ];
    return fc.constantFrom(...pairs);
  });

test("what another codec encodes is decoded, and what is encoded here it decodes", () => {
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 5 }), name, u16, (pairs, question, id) => {
      const theirs = packet.encode({
        id,
        type: "response",
        flags: packet.AUTHORITATIVE_ANSWER | packet.RECURSION_DESIRED,
        questions: [{ name: question, type: "A", class: "IN" }],
        answers: pairs.map(([answer]) => answer),
        additionals: [
          {
            type: "OPT",
            name: ".",
            udpPayloadSize: 1400,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: packet.DNSSEC_OK,
            flag_do: true,
            options: [],
          },
        ],
      });
      const m = decodeMessage(theirs);
      expect(m).toMatchObject({
        id,
        isResponse: true,
        authoritative: true,
        recursionDesired: true,
        questions: [{ name: `${question}.`, type: 1, class: 1 }],
      });
      expect(m.answers.map(printRecord)).toEqual(pairs.map(([, line]) => line));
      expect(m.edns).toEqual({ udpSize: 1400, version: 0, dnssecOk: true, options: [] });

      const back = packet.decode(Buffer.from(encodeMessage(m)));
      const again = packet.decode(theirs);
      expect(back.answers).toEqual(again.answers);
      expect(back.questions).toEqual(again.questions);
      expect(back.flags).toBe(again.flags);
      expect(back.additionals).toEqual(again.additionals);
    }),
    runs(300),
  );
});
