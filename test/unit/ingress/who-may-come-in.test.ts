import { expect, test } from "vitest";
import { applyFilters } from "../../../ingress/filter/chain.ts";
import type { FilterContext, FilteredRequest, ShownCertificate } from "../../../ingress/filter/outcome.ts";
import { questionWorld } from "../../../ingress/proxy/filter-world.ts";
import type { ClientCertificate, Filter } from "../../../ingress/route/filter.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { filteredRequest } from "../../support/filtered-request.ts";

const context: FilterContext = {
  now: 0,
  httpsPort: 443,
  world: questionWorld(systemClock),
};
const request = filteredRequest({ clientIp: "203.0.113.1", secure: true });
const good: ShownCertificate = {
  fault: undefined,
  unknownAuthority: false,
  subject: "CN=client,O=shop",
  issuer: "CN=ca",
  pem: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
};
const unsigned: ShownCertificate = { ...good, fault: "self-signed certificate", unknownAuthority: true };
const expired: ShownCertificate = { ...good, fault: "certificate has expired" };

/** A status, a status with where it leads, or what the endpoint is told. */
async function told(filter: Filter, shown: Partial<FilteredRequest>): Promise<string> {
  const { reply, requestHeaders } = await applyFilters([filter], { ...request, ...shown }, context);
  if (reply !== undefined) return [reply.status, ...reply.headers.map((h) => h.value)].join(" ");
  return requestHeaders.find((h) => h.name === "ssl-client-verify")?.value ?? "goes on";
}

const terms = (o: Partial<ClientCertificate>): Filter => ({ kind: "clientCertificate", verify: "on", passOn: false, ...o });

test.for<[name: string, filter: Filter, shown: ShownCertificate | undefined, want: string]>([
  ["a good one", terms({}), good, "SUCCESS"],
  ["none", terms({}), undefined, "400"],
  ["one that nobody signed", terms({}), unsigned, "400"],
  ["an error page", terms({ errorPage: "https://e.test/" }), undefined, "302 https://e.test/"],
  ["optional: none", terms({ verify: "optional" }), undefined, "NONE"],
  ["optional: a bad one", terms({ verify: "optional" }), expired, "400"],
  ["of any authority", terms({ verify: "optional_no_ca" }), unsigned, "FAILED:self-signed certificate"],
  ["of any authority, but expired", terms({ verify: "optional_no_ca" }), expired, "400"],
  ["a common name that fits", terms({ commonName: "CN=(client|other)" }), good, "SUCCESS"],
  ["one that does not", terms({ commonName: "CN=other" }), good, "403"],
  ["a name in another part of the subject", terms({ commonName: "CN=root" }), { ...good, subject: "O=CN=root,CN=client" }, "403"],
])("client certificates: %s", async ([, filter, shown, want]) => {
  expect(await told(filter, shown === undefined ? {} : { clientCertificate: shown })).toBe(want);
});

test("client certificates: the endpoint is told what the client cannot say itself, and the certificate where asked", async () => {
  const headers = async (o: Partial<ClientCertificate>): Promise<Readonly<Record<string, string>>> => {
    const { requestHeaders } = await applyFilters([terms(o)], { ...request, clientCertificate: good }, context);
    return Object.fromEntries(requestHeaders.map((h) => [h.name, h.value]));
  };
  expect(await headers({})).toEqual({
    "ssl-client-verify": "SUCCESS",
    "ssl-client-subject-dn": "CN=client,O=shop",
    "ssl-client-issuer-dn": "CN=ca",
    "ssl-client-cert": "",
  });
  expect((await headers({ passOn: true }))["ssl-client-cert"]).toBe(encodeURIComponent(good.pem));
});

test.for<[header: readonly string[], want: string]>([
  [["user-agent", "curl/8"], "goes on"],
  [["user-agent", "EvilBot 2"], "403"],
  [["user-agent", "bad"], "403"],
  [["user-agent", "badly"], "goes on"],
  [["referer", "https://spam.test/x"], "403"],
  [[], "goes on"],
])("blocked by %s: %s", async ([headers, want]) => {
  const filter: Filter = {
    kind: "agentBlock",
    userAgents: [
      { kind: "exact", text: "bad" },
      { kind: "regex", pattern: "evilbot", ignoreCase: true },
    ],
    referers: [{ kind: "regex", pattern: "spam\\.test", ignoreCase: false }],
  };
  expect(await told(filter, { headers })).toBe(want);
});
