import type { Clock } from "../../src/base/clock.ts";
import type { TextSource } from "../route/request-text.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";

/** What texts with variables are filled from: the request as the client sent it. */
export function textSource(
  request: IncomingRequest,
  client: ClientIdentity,
  o: { readonly requestId: string; readonly clock: Clock },
): TextSource {
  const { method, authority, target, fields } = request;
  const { ip, secure, port } = client;
  return { method, authority, target, headers: fields, clientIp: ip, secure, port, requestId: o.requestId, time: () => o.clock.now() };
}
