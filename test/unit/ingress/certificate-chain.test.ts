import type { DetailedPeerCertificate } from "node:tls";
import { expect, test } from "vitest";
import { intermediatesOf } from "../../../ingress/upstream/certificate-chain.ts";

/** A chain as node:tls tells it, the first name the one that was shown; `closed`: the last one is its own issuer. */
function chain(names: readonly string[], closed: boolean): DetailedPeerCertificate {
  const made = names.map((CN, i) => ({ subject: { CN }, issuer: { CN: names[i + 1] ?? (closed ? CN : "somebody") } }));
  const linked = made as unknown as (DetailedPeerCertificate & { issuerCertificate?: DetailedPeerCertificate })[];
  for (const [i, certificate] of linked.entries()) {
    const above = linked[i + 1] ?? (closed ? certificate : undefined);
    if (above !== undefined) certificate.issuerCertificate = above;
  }
  return linked[0]!;
}

test.for<[names: readonly string[], closed: boolean, want: number]>([
  [["self"], true, 0],
  [["leaf", "root"], true, 0],
  [["leaf", "middle", "root"], true, 1],
  [["leaf", "middle", "upper", "root"], true, 2],
  [["leaf"], false, 0],
  [["leaf", "middle"], false, 1],
])("certificates between %s (closed: %s): %s", ([names, closed, want]) => {
  expect(intermediatesOf(chain(names, closed))).toBe(want);
});
