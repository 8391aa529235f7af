import type { HeaderField } from "../route/filter.ts";
import { fillText } from "../route/request-text.ts";
import type { Forwarding } from "../route/route.ts";
import { type BodyFraming, noBody } from "../upstream/wire/body-framing.ts";
import type { ProxyContext } from "./context.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";
import type { RequestBody } from "./request-body.ts";
import { textSource } from "./text-source.ts";
import { upstreamHead } from "./upstream-request.ts";

/** How long a mirror may take; the client waits for none. Milliseconds. */
const mirrorMs = 60_000;
/** Mirrored requests of one process under way; past it, requests are not mirrored. */
const most = 256;

/** The request as its endpoint gets it. */
export interface MirroredRequest {
  readonly request: IncomingRequest;
  readonly client: ClientIdentity;
  readonly requestId: string;
  readonly body: RequestBody;
  /** Path and query after rewrites. */
  readonly target: string;
  readonly set: readonly HeaderField[];
}

/** Sends a copy of a request, whose answer nobody sees, with its body if that is asked for and still there. */
export function mirrorRequest(context: ProxyContext, forward: Forwarding, o: MirroredRequest): void {
  const { mirror } = forward;
  if (mirror === undefined) return;
  const { mirrors } = context.metrics;
  const kept = mirror.withBody ? o.body.inMemory : noBytes;
  if (kept === undefined || mirrors.underWay >= most) {
    mirrors.skipped++;
    return;
  }
  const body = Buffer.concat(kept);
  const source = textSource(o.request, o.client, { requestId: o.requestId, clock: context.clock });
  const url = mirror.url === undefined ? `http://mirror${mirror.target ?? o.target}` : fillText(mirror.url, source);
  const ownHost = mirror.url === undefined ? o.request.authority : undefined;
  const host = mirror.host === undefined ? ownHost : fillText(mirror.host, source);
  mirrors.underWay++;
  context.subrequests
    .send({
      method: o.request.method,
      url,
      ...(mirror.pool === undefined ? {} : { pool: mirror.pool }),
      headers: [...(host === undefined ? [] : [{ name: "host", value: host }]), ...headersOf(o, body.length)],
      body,
      bodyBytes: 0,
      timeoutMs: mirrorMs,
    })
    .then(
      () => mirrors.sent++,
      () => mirrors.failed++,
    )
    .finally(() => mirrors.underWay--);
}

const noBytes: readonly Buffer[] = [];

/** As the endpoint gets them. */
function headersOf(o: MirroredRequest, bytes: number): readonly HeaderField[] {
  const framing: BodyFraming = bytes > 0 ? { kind: "length", bytes } : noBody;
  const head = upstreamHead(
    { ...o.request, framing, upgrade: undefined },
    { target: o.target, host: "", client: o.client, requestId: o.requestId, set: o.set },
  );
  const fields = head.fields();
  const headers: HeaderField[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!name.startsWith(":")) headers.push({ name, value: fields[i + 1] ?? "" });
  }
  return headers;
}
