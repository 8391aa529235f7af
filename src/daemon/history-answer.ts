import type { HistoryEntry, Proxier } from "../../rules/index.ts";
import type { ObserveResponse } from "../observe/http-endpoint.ts";

/** One node's transactions of rules, latest first, as they are told to others: times in RFC 3339. */
export interface NodeHistory {
  readonly node: string;
  readonly entries: readonly ToldEntry[];
}

export type ToldEntry = Omit<HistoryEntry, "at"> & { readonly time: string };

const serviceName = /^[^/]+\/[^/]+$/;

/** `/history?service=NS/NAME&since=TIME&limit=N`; each may be left out. */
export function answerHistory(node: string, proxier: Pick<Proxier, "history"> | undefined, url: URL): ObserveResponse {
  const query = url.searchParams;
  const service = query.get("service") ?? undefined;
  if (service !== undefined && !serviceName.test(service)) return refusal("service: write it as NAMESPACE/NAME");
  const sinceText = query.get("since");
  const since = sinceText === null ? undefined : Date.parse(sinceText);
  if (since !== undefined && Number.isNaN(since)) return refusal("since: write it as 2026-01-31T12:00:00Z");
  const limitText = query.get("limit");
  const limit = limitText === null ? undefined : Number(limitText);
  if (limit !== undefined && (!Number.isSafeInteger(limit) || limit < 0)) return refusal("limit: write a whole number");
  const entries = (proxier?.history({ service, since, limit }) ?? []).map(told);
  return { status: 200, contentType: "application/json", body: JSON.stringify({ node, entries } satisfies NodeHistory) };
}

function told({ at, ...entry }: HistoryEntry): ToldEntry {
  return { time: new Date(at).toISOString(), ...entry };
}

function refusal(message: string): ObserveResponse {
  return { status: 400, contentType: "text/plain; charset=utf-8", body: `${message}\n` };
}
