import { unreachable } from "../../src/base/unreachable.ts";
import type { FilledHeader, Filter, FilterKind, FilterOf, HeaderField } from "../route/filter.ts";
import { fillText } from "../route/request-text.ts";
import { applyAddressList } from "./address-list.ts";
import { applyAgentBlock } from "./agent-block.ts";
import { applyBasicAuth } from "./basic-auth.ts";
import { applyClientCertificate } from "./client-certificate.ts";
import { applyCors } from "./cors.ts";
import { applyDigestAuth } from "./digest-auth.ts";
import { applyExternalAuth } from "./external-auth.ts";
import { applyJwtAuth } from "./jwt-auth.ts";
import { applyConnectionLimit, applyRequestRate } from "./limits.ts";
import type { FilterContext, FilteredRequest, FilterOutcome, Reply } from "./outcome.ts";
import { applyAppRoot, applyRedirect, applySslRedirect } from "./redirects.ts";
import type { MakeResponseStep } from "./response-step.ts";
import { applyRewrite } from "./rewrite.ts";
import { applySharedRate } from "./shared-rate.ts";

/** The order in which filters stand, whatever the order they were asked for in. */
export const filterOrder: readonly FilterKind[] = [
  "responseHeaders", // first: they go on refusals and redirects too
  "sslRedirect", // before anything that asks for a secret over plain text
  "cors", // a browser sends preflights without credentials: they must not meet auth
  "appRoot",
  "redirect",
  "agentBlock",
  "clientCertificate",
  "addressList", // before the limits: who may not come in uses up nobody's share
  "connectionLimit",
  "sharedRate",
  "rateLimit", // before auth: guessing passwords is what it slows down
  "auth",
  "digestAuth",
  "jwt",
  "externalAuth",
  "satisfyAny",
  "bodyLimit",
  "filledHeaders", // before a rewrite: they tell of what the client asked for
  "rewrite", // after everything that judges the path the client asked for
];

export function inFilterOrder(filters: readonly Filter[]): readonly Filter[] {
  return [...filters].sort((a, b) => filterOrder.indexOf(a.kind) - filterOrder.indexOf(b.kind));
}

/** What a whole chain came to. `reply`: the request ends here. */
export interface ChainResult {
  readonly request: FilteredRequest;
  readonly reply: Reply | undefined;
  readonly requestHeaders: readonly HeaderField[];
  readonly responseHeaders: readonly HeaderField[];
  /** In the order of their filters. */
  readonly responseSteps: readonly MakeResponseStep[];
  /** Bytes; 0 is no limit. */
  readonly bodyLimit: number;
  /** Who the client has shown to be; "" when it was not asked. */
  readonly user: string;
  /** To be called once, when the request has ended, also after a reply. */
  readonly releases: readonly (() => void)[];
}

/** Runs the filters in the given order (see inFilterOrder). A promise only where one of them must wait. */
export function applyFilters(
  filters: readonly Filter[],
  request: FilteredRequest,
  context: FilterContext,
): ChainResult | Promise<ChainResult> {
  const start: ChainResult = {
    request,
    reply: undefined,
    requestHeaders: noHeaders,
    responseHeaders: noHeaders,
    responseSteps: noSteps,
    bodyLimit: 0,
    user: "",
    releases: noReleases,
  };
  return filters.length === 0 ? start : goOn(filters, 0, start, context);
}

const noHeaders: readonly HeaderField[] = [];
const noSteps: readonly MakeResponseStep[] = [];
const noReleases: readonly (() => void)[] = [];

function goOn(filters: readonly Filter[], from: number, start: ChainResult, context: FilterContext): ChainResult | Promise<ChainResult> {
  let result = start;
  for (let i = from; i < filters.length; i++) {
    const filter = filters[i];
    if (filter === undefined) break;
    const outcome = applyFilter(filter, result.request, context);
    if (outcome instanceof Promise) {
      const before = result;
      return outcome.then((o) => {
        const after = add(before, o);
        return after.reply === undefined ? goOn(filters, i + 1, after, context) : after;
      });
    }
    result = add(result, outcome);
    if (result.reply !== undefined) return result;
  }
  return result;
}

function add(result: ChainResult, o: FilterOutcome | undefined): ChainResult {
  if (o === undefined) return result;
  const changes = o.target !== undefined;
  return {
    request: changes
      ? { ...result.request, path: o.path ?? result.request.path, target: o.target ?? result.request.target, query: o.query ?? "" }
      : result.request,
    reply: o.reply,
    requestHeaders: o.requestHeaders === undefined ? result.requestHeaders : [...result.requestHeaders, ...o.requestHeaders],
    responseHeaders: o.responseHeaders === undefined ? result.responseHeaders : [...result.responseHeaders, ...o.responseHeaders],
    responseSteps: o.responseStep === undefined ? result.responseSteps : [...result.responseSteps, o.responseStep],
    bodyLimit: o.bodyLimit ?? result.bodyLimit,
    user: o.user ?? result.user,
    releases: o.release === undefined ? result.releases : [...result.releases, o.release],
  };
}

function applyFilter(
  filter: Filter,
  request: FilteredRequest,
  context: FilterContext,
): FilterOutcome | undefined | Promise<FilterOutcome | undefined> {
  switch (filter.kind) {
    case "sslRedirect":
      return applySslRedirect(filter, request, context);
    case "appRoot":
      return applyAppRoot(filter, request);
    case "redirect":
      return applyRedirect(filter, request);
    case "addressList":
      return applyAddressList(filter, request);
    case "agentBlock":
      return applyAgentBlock(filter, request);
    case "clientCertificate":
      return applyClientCertificate(filter, request);
    case "connectionLimit":
      return applyConnectionLimit(filter, request, context);
    case "rateLimit":
      return applyRequestRate(filter, request, context);
    case "sharedRate":
      return applySharedRate(filter, request, context);
    case "cors":
      return applyCors(filter, request);
    case "auth":
      return applyBasicAuth(filter, request, context);
    case "digestAuth":
      return applyDigestAuth(filter, request, context);
    case "jwt":
      return applyJwtAuth(filter, request, context);
    case "externalAuth":
      return applyExternalAuth(filter, request, context);
    case "satisfyAny":
      return applySatisfyAny(filter, request, context);
    case "bodyLimit":
      return filter.bytes > 0 && request.bodyBytes > filter.bytes
        ? { reply: { status: 413, headers: [], by: "bodyLimit" } }
        : { bodyLimit: filter.bytes };
    case "rewrite":
      return applyRewrite(filter, request);
    case "filledHeaders":
      return { requestHeaders: filledHeaders(filter.set, request) };
    case "responseHeaders":
      if (filter.onlyTls === true && !request.secure) return undefined;
      return { responseHeaders: filter.filled === undefined ? filter.set : [...filter.set, ...filledHeaders(filter.filled, request)] };
    default:
      return unreachable(filter);
  }
}

function filledHeaders(set: readonly FilledHeader[], request: FilteredRequest): readonly HeaderField[] {
  return set.map(({ name, value }) => ({ name, value: fillText(value, request) }));
}

async function applySatisfyAny(f: FilterOf<"satisfyAny">, r: FilteredRequest, c: FilterContext): Promise<FilterOutcome | undefined> {
  let refusal: FilterOutcome | undefined;
  for (const filter of f.filters) {
    const outcome = await applyFilter(filter, r, c);
    if (outcome?.reply === undefined) return outcome;
    if (refusal?.reply?.status !== 401) refusal = outcome;
  }
  return refusal;
}
