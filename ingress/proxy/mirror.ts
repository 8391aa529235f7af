import type { HeaderField } from "../route/filter.ts";
import type { Forwarding, Mirror } from "../route/route.ts";
import type { ResponseSink, UpstreamChannel, UpstreamHead } from "../upstream/upstream-channel.ts";
import { UpstreamConnection } from "../upstream/upstream-connection.ts";
import { type BodyFraming, noBody } from "../upstream/wire/body-framing.ts";
import type { ProxyContext } from "./context.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";
import type { RequestBody } from "./request-body.ts";
import { upstreamHead } from "./upstream-request.ts";

/** How long a mirror may take; the client waits for none. */
const mirrorMs = 60_000;
/** Mirrored requests under way; past it, requests are not mirrored. */
const most = 256;
let underWay = 0;

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
  const body = mirror?.withBody === true ? o.body.kept : noBytes;
  if (mirror === undefined || body === undefined) return;
  const bytes = mirror.withBody ? o.body.bytes : 0;
  const framing: BodyFraming = bytes > 0 ? { kind: "length", bytes } : noBody;
  const head = upstreamHead(
    { ...o.request, framing, upgrade: undefined },
    { target: mirror.target ?? o.target, host: mirror.host ?? o.request.authority, client: o.client, requestId: o.requestId, set: o.set },
  );
  sendMirror(context, mirror, { head, body });
}

const noBytes: readonly Buffer[] = [];

/** Failures are nobody's. */
function sendMirror(context: ProxyContext, mirror: Mirror, copy: { readonly head: UpstreamHead; readonly body: readonly Buffer[] }): void {
  const pool = mirror.pool === undefined ? undefined : context.table.pools.get(mirror.pool);
  const now = context.clock.monotonic();
  if (pool === undefined || underWay >= most) return;
  const picked = context.picker.pick(pool, { balance: "round_robin", tried: none, now, random: context.random() });
  if (picked === undefined) return;
  underWay++;
  const life = new AbortController();
  let channel: UpstreamChannel | undefined;
  const done = (): void => {
    if (life.signal.aborted) return;
    life.abort();
    underWay--;
  };
  const begin = (c: UpstreamChannel): void => {
    channel = c;
    c.cork();
    c.begin(copy.head, sinkOf(c, context, done));
    for (const bytes of copy.body) c.sendBody(bytes);
    c.sendEnd("");
    c.uncork();
  };
  const idle = context.pool.take(picked.plain, now, 1_000);
  const pending = idle === undefined ? context.pool.connect(picked.plain, begin, done) : undefined;
  if (idle !== undefined) begin(idle);
  void context.clock.sleep(mirrorMs, life.signal).then(
    () => {
      pending?.cancel();
      channel?.abort();
      done();
    },
    () => undefined,
  );
}

const none: ReadonlySet<string> = new Set();

function sinkOf(channel: UpstreamChannel, context: ProxyContext, done: () => void): ResponseSink {
  const nothing = (): void => undefined;
  return {
    onInformational: nothing,
    onHead: nothing,
    onBody: nothing,
    onTrailers: nothing,
    onBatchEnd: nothing,
    onDrain: nothing,
    onComplete: () => {
      done();
      if (channel instanceof UpstreamConnection) context.pool.release(channel, context.clock.monotonic());
    },
    onSwitched: (_response, connection) => {
      connection.abort();
      done();
    },
    onFailure: done,
  };
}
