import type { HeaderField } from "../route/filter.ts";
import type { TracingSettings } from "../route/proxy-settings.ts";
import { headerValue } from "../route/request-head.ts";
import type { Route } from "../route/route.ts";

/** Where a request stands in its trace (W3C Trace Context). Ids in lower-case hex. */
export interface Trace {
  readonly traceId: string;
  /** Of this proxy's span. */
  readonly spanId: string;
  /** Of the caller's; "" where the trace begins here. */
  readonly parentId: string;
  readonly sampled: boolean;
  /** What the caller's vendors said, as it stands; "" for nothing. */
  readonly state: string;
}

export interface TraceParent {
  readonly traceId: string;
  readonly parentId: string;
  readonly sampled: boolean;
}

/** `undefined` for what does not count: the trace begins anew then. */
export function parseTraceParent(text: string | undefined): TraceParent | undefined {
  // later versions may have more behind a dash, which is not looked at
  const m = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text?.trim() ?? "");
  if (m === null) return undefined;
  const [, version, traceId = "", parentId = "", flags = "", rest] = m;
  if (version === "ff" || (version === "00" && rest !== undefined) || /^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined;
  return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** The same trace is sampled everywhere or nowhere: by the lower 56 bits of its id, which are chance. */
export function isInRatio(traceId: string, ratio: number): boolean {
  return ratio >= 1 || (ratio > 0 && Number.parseInt(traceId.slice(-14), 16) / 2 ** 56 < ratio);
}

/** All that a request says of its trace; absent where its route is not traced: its headers pass as they are. */
export function traceOf(
  settings: TracingSettings | undefined,
  route: Route | undefined,
  o: { readonly fields: readonly string[]; readonly newId: () => string },
): Trace | undefined {
  if (settings === undefined && route?.tracing === undefined) return undefined;
  if (!(route?.tracing?.enabled ?? settings?.enabled ?? false)) return undefined;
  const trust = route?.tracing?.trustIncoming ?? settings?.trustIncoming ?? true;
  const parent = trust ? parseTraceParent(headerValue(o.fields, "traceparent")) : undefined;
  const spanId = o.newId().slice(0, 16);
  if (parent !== undefined) return { ...parent, spanId, state: stateOf(o.fields) };
  const traceId = o.newId();
  return { traceId, spanId, parentId: "", sampled: isInRatio(traceId, settings?.ratio ?? 0), state: "" };
}

/** Several lines are one list; longer ones than vendors must keep are cut off whole. */
function stateOf(fields: readonly string[]): string {
  const lines: string[] = [];
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === "tracestate") lines.push((fields[i + 1] ?? "").trim());
  const state = lines.filter((l) => l !== "").join(",");
  return state.length > 512 || state.split(",").length > 32 ? "" : state;
}

/** What the endpoint is told: the span of this try is its parent. An empty value takes the client's own header away. */
export function traceHeaders(trace: Trace, spanId: string): readonly HeaderField[] {
  return [
    { name: "traceparent", value: `00-${trace.traceId}-${spanId}-${trace.sampled ? "01" : "00"}` },
    { name: "tracestate", value: trace.state },
  ];
}
