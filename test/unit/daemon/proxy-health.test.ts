import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { ProxierHealth } from "../../../rules/index.ts";
import { proxyHealthAnswer, startProxyHealth } from "../../../src/daemon/proxy-health.ts";
import type { Log } from "../../../src/observe/log.ts";

const now = Date.parse("2026-03-04T05:06:07.089Z");
const at = Date.parse("2026-03-04T05:00:00.000Z");
const well: ProxierHealth = { live: true, ready: true, nodeEligible: true, lastUpdated: at };
const current = "2026-03-04T05:06:07.089Z";
const before = "2026-03-04T05:00:00.000Z";

interface Wanted {
  readonly status: number;
  readonly lastUpdated: string;
  readonly healthy: boolean;
}
const cases: readonly {
  readonly name: string;
  readonly health: Partial<ProxierHealth>;
  readonly healthz: Wanted & { readonly nodeEligible: boolean };
  readonly livez: Wanted;
}[] = [
  {
    name: "well",
    health: {},
    healthz: { status: 200, lastUpdated: current, nodeEligible: true, healthy: true },
    livez: { status: 200, lastUpdated: current, healthy: true },
  },
  {
    name: "the node leaves",
    health: { nodeEligible: false },
    healthz: { status: 503, lastUpdated: before, nodeEligible: false, healthy: true },
    livez: { status: 200, lastUpdated: current, healthy: true },
  },
  {
    name: "a change waits",
    health: { live: false },
    healthz: { status: 503, lastUpdated: before, nodeEligible: true, healthy: false },
    livez: { status: 503, lastUpdated: before, healthy: false },
  },
  {
    name: "it starts",
    health: { ready: false, lastUpdated: undefined },
    healthz: { status: 503, lastUpdated: "0001-01-01T00:00:00Z", nodeEligible: true, healthy: false },
    livez: { status: 200, lastUpdated: current, healthy: true },
  },
];

test.each(cases)("$name", ({ health, ...want }) => {
  for (const path of ["healthz", "livez"] as const) {
    const { status, ...fields } = want[path];
    const answer = proxyHealthAnswer(path, { ...well, ...health }, now);
    const family = { lastUpdated: before, healthy: health.live ?? true };
    const both = "lastUpdated" in health ? {} : { status: { IPv4: family, IPv6: family } };
    expect({ ...answer, body: JSON.parse(answer.body) as unknown }).toEqual({
      status,
      contentType: "application/json",
      body: { ...fields, currentTime: current, ...both },
    });
  }
});

const silent: Log = Object.assign(() => undefined, { child: () => silent });

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

test("asked over HTTP, and counted", async () => {
  let health = well;
  const port = await freePort();
  const server = startProxyHealth({ at: { ip: "127.0.0.1", port }, health: () => health, now: () => now }, silent);
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

test("an address that another program has is told with its name; with hardFail that is the end", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const at = { ip: "127.0.0.1", port: (other.address() as AddressInfo).port };
  const said: string[] = [];
  const log: Log = Object.assign((_: unknown, message: string) => void said.push(message), { child: () => log });
  const options = { at, health: () => well, now: () => now };
  const want = `kube-proxy's health cannot be served at 127.0.0.1:${at.port}: process ${process.pid} (`;
  const steady = startProxyHealth(options, log);
  await steady.ready;
  await steady.close();
  expect(said).toHaveLength(1);
  expect(said[0]).toContain(want);
  const hard = startProxyHealth({ ...options, hardFail: true }, log);
  await expect(hard.ready).rejects.toMatchObject({ code: "Input", message: expect.stringContaining(want) as string });
  await hard.close();
  await new Promise((resolve) => other.close(resolve));
});
