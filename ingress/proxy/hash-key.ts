import { hashOf } from "../balance/hash-ring.ts";
import { fillText } from "../route/request-text.ts";
import type { HashBalance } from "../route/route.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";
import { textSource } from "./text-source.ts";

/** The hash by which a request finds its endpoint. */
export function requestHash(balance: HashBalance, r: IncomingRequest, client: ClientIdentity): number {
  return hashOf(fillText(balance.key, textSource(r, client)));
}
