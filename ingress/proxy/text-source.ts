import type { TextSource } from "../route/request-text.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";

/** What texts with variables are filled from: the request as the client sent it. */
export function textSource(request: IncomingRequest, client: ClientIdentity): TextSource {
  const { method, authority, target, fields } = request;
  return { method, authority, target, headers: fields, clientIp: client.ip, secure: client.secure };
}
