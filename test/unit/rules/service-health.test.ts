import { createServer, get, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { healthAnswer, ServiceHealth } from "../../../rules/sync/service-health.ts";

const ip = "127.75.0.1";
const ask = (port: number): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> =>
  new Promise((resolve, reject) => {
    get({ host: ip, port, agent: false }, (response) => {
      let text = "";
      response.on("data", (b: Buffer) => (text += b.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    }).on("error", reject);
  });
const check = (port: number, localEndpoints: number) => ({ port, createdAt: "", namespace: "shop", name: "web", localEndpoints });

test.each([
  [2, true, 200],
  [0, true, 503],
  [2, false, 503],
] as const)("%i local endpoints, proxy healthy %s: %i", (localEndpoints, healthy, status) => {
  expect(healthAnswer(check(1, localEndpoints), healthy)).toEqual({
    status,
    weight: localEndpoints,
    body: { service: { namespace: "shop", name: "web" }, localEndpoints, serviceProxyHealthy: healthy },
  });
});

test("ports open, follow the endpoints and close", async () => {
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(0, ip, resolve));
  const { port } = free.address() as AddressInfo;
  let healthy = true;
  const told: string[] = [];
  const health = new ServiceHealth(
    () => healthy,
    () => told.push(...health.problems().map((p) => p.message)),
  );
  try {
    health.update([check(port, 1)], [ip]);
    await expect.poll(() => health.problems().map((p) => p.reason)).toEqual(["HealthCheckUnavailable"]);
    await expect
      .poll(() => told)
      .toEqual([expect.stringContaining(`the health check port ${port} cannot be served: process ${process.pid} (`)]);
    // still taken: the same is told, not that it is well meanwhile
    health.retry();
    expect(health.problems()).toHaveLength(1);
    health.update([check(port, 3)], [ip]);
    await expect.poll(() => told.length).toBe(2);
    expect(new Set(told).size).toBe(1);
    await new Promise((resolve) => free.close(resolve));
    health.retry();
    await expect.poll(async () => (await ask(port).catch(() => undefined))?.status).toBe(200);
    expect(health.problems()).toEqual([]);
    const { headers, body } = await ask(port);
    // byte for byte what kube-proxy 1.36 answers
    expect(body).toBe(
      '{\n\t"service": {\n\t\t"namespace": "shop",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 3,\n\t"serviceProxyHealthy": true\n}',
    );
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "content-length": `${body.length}`,
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": "3",
    });
    healthy = false;
    expect((await ask(port)).status).toBe(503);
    health.update([], [ip]);
    await expect(ask(port)).rejects.toThrow("ECONNREFUSED");
    expect(health.problems()).toEqual([]);
  } finally {
    health.close();
  }
});
