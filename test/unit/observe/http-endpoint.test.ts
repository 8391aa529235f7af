import { afterAll, beforeAll, expect, test } from "vitest";
import { createHealth } from "../../../src/observe/health.ts";
import { type ObserveServer, startObserveServer } from "../../../src/observe/http-endpoint.ts";
import { createMetrics } from "../../../src/observe/metrics.ts";

let server: ObserveServer;
beforeAll(async () => {
  const health = createHealth();
  health.add("synced", () => "not yet");
  const metrics = createMetrics();
  metrics.collect(() => "one 1\n");
  const routes = {
    "/debug": (url: URL) => ({ status: 200, contentType: "application/json", body: JSON.stringify({ q: url.searchParams.get("q") }) }),
    "/broken": () => {
      throw new Error("why it broke");
    },
  };
  server = startObserveServer({ bind: "127.0.0.1", port: 0, metrics, health, routes });
  await server.ready;
});
afterAll(() => server.close());

test.each([
  ["GET", "/metrics", 200, "one 1\n"],
  ["GET", "/livez", 200, "ok"],
  ["GET", "/livez?verbose", 200, "[+]ping ok\nlivez check passed\n"],
  ["GET", "/readyz", 500, "[+]ping ok\n[-]synced failed: not yet\nreadyz check failed\n"],
  ["GET", "/readyz?exclude=synced", 200, "ok"],
  ["GET", "/readyz/ping", 200, "ok"],
  ["GET", "/debug?q=a", 200, '{"q":"a"}'],
  ["GET", "/broken", 500, "why it broke\n"],
  ["GET", "/nothing", 404, "no /nothing here; there is /metrics, /healthz, /livez, /readyz, /debug, /broken\n"],
  ["GET", "/constructor", 404, "no /constructor here; there is /metrics, /healthz, /livez, /readyz, /debug, /broken\n"],
  ["POST", "/metrics", 405, "only GET and HEAD are answered here\n"],
  ["HEAD", "/livez", 200, ""],
])("%s %s", async (method, path, status, body) => {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  expect({ status: response.status, body: await response.text() }).toEqual({ status, body });
});

test("a port that is taken rejects ready, and close is safe then", async () => {
  const second = startObserveServer({ bind: "127.0.0.1", port: server.port });
  await expect(second.ready).rejects.toMatchObject({ code: "EADDRINUSE" });
  await second.close();
});
