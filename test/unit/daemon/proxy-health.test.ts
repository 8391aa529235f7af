import { expect, test } from "vitest";
import type { ProxierHealth } from "../../../rules/index.ts";
import { proxyHealthAnswer, startProxyHealth } from "../../../src/daemon/proxy-health.ts";
import type { Log } from "../../../src/observe/log.ts";

const now = Date.parse("2026-03-04T05:06:07.089Z");
const at = Date.parse("2026-03-04T05:00:00.000Z");
const well: ProxierHealth = { live: true, ready: true, nodeEligible: true, lastUpdated: at };
const current = "2026-03-04 05:06:07.089 +0000 UTC";
const before = "2026-03-04 05:00:00.000 +0000 UTC";

const cases: readonly {
  readonly name: string;
  readonly health: Partial<ProxierHealth>;
  readonly healthz: readonly [number, string, boolean];
  readonly livez: readonly [number, string];
}[] = [
  { name: "well", health: {}, healthz: [200, current, true], livez: [200, current] },
  { name: "the node leaves", health: { nodeEligible: false }, healthz: [503, before, false], livez: [200, current] },
  { name: "a change waits", health: { live: false }, healthz: [503, before, true], livez: [503, before] },
  {
    name: "it starts",
    health: { ready: false, lastUpdated: undefined },
    healthz: [503, "0001-01-01 00:00:00 +0000 UTC", true],
    livez: [200, current],
  },
];

test.each(cases)("$name", ({ health, healthz, livez }) => {
  const answer = (path: "healthz" | "livez") => proxyHealthAnswer(path, { ...well, ...health }, now);
  expect(answer("healthz")).toEqual({
    status: healthz[0],
    contentType: "application/json",
    body: `{"lastUpdated": "${healthz[1]}","currentTime": "${current}", "nodeEligible": ${healthz[2]}}`,
  });
  expect(answer("livez")).toMatchObject({ status: livez[0], body: `{"lastUpdated": "${livez[1]}","currentTime": "${current}"}` });
});

const silent: Log = Object.assign(() => undefined, { child: () => silent });

test("asked over HTTP, and counted", async () => {
  let health = well;
  const port = 20000 + (process.pid % 20000);
  const server = startProxyHealth(
    { ip: "127.0.0.1", port },
    () => health,
    () => now,
    silent,
  );
  const ask = (path: string) => fetch(`http://127.0.0.1:${port}/${path}`);
  await expect
    .poll(() =>
      ask("healthz").then(
        (r) => r.status,
        () => 0,
      ),
    )
    .toBe(200);
  health = { ...well, nodeEligible: false };
  expect((await ask("healthz")).status).toBe(503);
  const alive = await ask("livez");
  expect([alive.status, alive.headers.get("content-type"), alive.headers.get("x-content-type-options")]).toEqual([
    200,
    "application/json",
    "nosniff",
  ]);
  expect(server.metrics()).toContain('kubeproxy_proxy_healthz_total{code="503"} 1\n');
  expect(server.metrics()).toContain('kubeproxy_proxy_livez_total{code="200"} 1\n');
  await server.close();
});
