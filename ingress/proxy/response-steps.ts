import { compressionStep } from "../filter/compression.ts";
import { paceStep } from "../filter/pace.ts";
import type { MakeResponseStep } from "../filter/response-step.ts";
import type { ProxyContext } from "./context.ts";
import type { IncomingRequest } from "./downstream.ts";
import { errorPageStep } from "./error-pages.ts";
import { isGrpc } from "./grpc.ts";
import type { RequestPlan } from "./request-plan.ts";

const none: readonly MakeResponseStep[] = [];

/** What stands between an endpoint's answer and the client; nothing on most routes. */
export function responseSteps(
  context: ProxyContext,
  { route, forward, chain }: RequestPlan,
  o: { readonly request: IncomingRequest; readonly requestId: string; readonly clientIp: string },
): readonly MakeResponseStep[] {
  const filters = chain?.responseSteps ?? none;
  const { compression } = context.table.settings;
  const pages = route?.action.kind === "forward" ? route.action.errorPages : undefined;
  const pace = forward?.responseRate;
  if (compression === undefined && pages === undefined && pace === undefined) return filters;
  const steps = [...filters];
  // an answer of gRPC has its status in trailers, and codes its messages itself
  const plain = !isGrpc(o.request.fields);
  // first, so that pages go the way of all answers
  if (plain && pages !== undefined && route !== undefined) {
    const main = route.action.kind === "forward" ? route.action.backends[0]?.pool : undefined;
    const page = errorPageStep(pages, {
      clock: context.clock,
      subrequests: context.subrequests,
      ...o,
      object: route.object,
      service: main === undefined ? undefined : context.table.pools.get(main),
      responseHeaders: chain?.responseHeaders ?? [],
    });
    steps.unshift(page);
  }
  // when nothing changes a body any more
  if (plain && compression !== undefined && forward !== undefined)
    steps.push(compressionStep(compression, { method: o.request.method, headers: o.request.fields }));
  // last: what the client gets has its pace
  if (pace !== undefined) steps.push(paceStep(pace, context.clock));
  return steps;
}
