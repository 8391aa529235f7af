import { compressionStep } from "../filter/compression.ts";
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
  if ((compression === undefined && pages === undefined) || isGrpc(o.request.fields)) return filters;
  const steps = [...filters];
  // first, so that pages go the way of all answers
  if (pages !== undefined && route !== undefined) {
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
  // last, when nothing changes a body any more
  if (compression !== undefined && forward !== undefined)
    steps.push(compressionStep(compression, { method: o.request.method, headers: o.request.fields }));
  return steps;
}
