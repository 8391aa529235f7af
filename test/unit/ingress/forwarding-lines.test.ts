import fc from "fast-check";
import { expect, test } from "vitest";
import { forwardingHeaders, printForwarding } from "../../../ingress/proxy/forwarded.ts";

const client = fc.record({
  ip: fc.constantFrom("", "10.0.0.1", "10.0.0.2", "fd00::1"),
  secure: fc.boolean(),
  host: fc.constantFrom("", "a.test", "b.test", `${"long.".repeat(300)}test`),
  port: fc.constantFrom(80, 443, 336),
  forwardedFor: fc.constantFrom("", "10.0.0.1", "10.0.0.9, 10.0.0.1"),
});

test("lines written before are only written again for who they are about", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(client, fc.constantFrom("", "id")), { maxLength: 20 }), (requests) => {
      for (const [who, id] of requests) {
        const headers = forwardingHeaders(who, id).filter((h) => h.value !== "");
        expect(printForwarding(who, id)).toBe(headers.map((h) => `${h.name}: ${h.value}\r\n`).join(""));
      }
    }),
    { numRuns: 300 },
  );
});
