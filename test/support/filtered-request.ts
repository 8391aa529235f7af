import type { FilteredRequest } from "../../ingress/filter/outcome.ts";

/** `GET http://a.test/` of 192.0.2.1, as filters see it, and what is different about it. */
export function filteredRequest(change: Partial<FilteredRequest> = {}): FilteredRequest {
  return {
    method: "GET",
    authority: "a.test",
    path: "/",
    target: "/",
    query: "",
    headers: [],
    clientIp: "192.0.2.1",
    secure: false,
    port: 80,
    requestId: "r1",
    time: () => 1_750_000_000_123,
    bodyBytes: 0,
    ...change,
  };
}
