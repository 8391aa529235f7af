import type { Forwarding, Mirror } from "../route/route.ts";
import type { ResponseSink, UpstreamChannel, UpstreamHead } from "../upstream/upstream-channel.ts";
import { UpstreamConnection } from "../upstream/upstream-connection.ts";
import type { ProxyContext } from "./context.ts";

/** How long a mirror may take; the client waits for none. */
const mirrorMs = 60_000;
/** Mirrored requests under way; past it, requests are not mirrored. */
const most = 256;
let underWay = 0;

/** Sends a copy of a request, whose answer nobody sees. Failures are nobody's. */
export function sendMirror(
  context: ProxyContext,
  forward: Forwarding & { readonly mirror: Mirror },
  copy: { readonly head: UpstreamHead; readonly body: readonly Buffer[] },
): void {
  const { pool: id } = forward.mirror;
  const pool = id === undefined ? undefined : context.table.pools.get(id);
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
