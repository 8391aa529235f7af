import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register } from "../../../src/cli/commands/daemon.ts";
import { runCli } from "../../../src/cli/program.ts";

const metrics = (queries: number): string =>
  [
    "# HELP fairway_dns_client_queries_total Queries.",
    `fairway_dns_client_queries_total{client="10.244.0.5"} ${queries}`,
    'fairway_dns_client_queries_total{client="10.244.0.6"} 7',
    'fairway_dns_client_search_misses_total{client="10.244.0.5"} 30',
    'fairway_dns_client_ndots_savings_total{client="10.244.0.5"} 20',
    'fairway_dns_name_queries_total{name="www.example.org."} 64',
    'coredns_dns_requests_total{server="dns://:53"} 9',
  ].join("\n");

const servers: Server[] = [];
const ports: number[] = [];
beforeAll(async () => {
  for (const queries of [40, 60]) {
    const server = createServer((_, response) => response.end(metrics(queries)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    servers.push(server);
    ports.push((server.address() as AddressInfo).port);
  }
});
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function run(...args: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const entries = [{ group: "Roles:", names: ["dns"], load: async () => ({ register }) }];
  const status = await runCli(["dns", "top", ...args], entries, { stdout: (t) => (out += t), stderr: (t) => (err += t) });
  return { status, out, err };
}

test("what all nodes counted is added up, the most first", async () => {
  const { status, out } = await run("--observe", `127.0.0.1:${ports[0]}`, "--observe", `127.0.0.1:${ports[1]}`, "-o", "json");
  expect([status, JSON.parse(out)]).toEqual([
    0,
    {
      clients: [
        { client: "10.244.0.5", pod: null, queries: 100, misses: 60, savings: 40 },
        { client: "10.244.0.6", pod: null, queries: 14, misses: 0, savings: 0 },
      ],
      names: [{ name: "www.example.org.", queries: 128 }],
    },
  ]);
});

test("the table says which share of a client's queries is search path", async () => {
  const { out } = await run("--observe", `127.0.0.1:${ports[0]}`, "--limit", "1");
  expect(out).toBe(
    [
      "CLIENT       QUERIES   SEARCH PATH   NDOTS:1 SAVES",
      "10.244.0.5   40        30 (75%)      20 (50%)",
      "",
      "NAME               QUERIES",
      "www.example.org.   ~64",
      "",
    ].join("\n"),
  );
});

test.each([
  [["--observe", "nowhere"], /--observe nowhere: write it as ADDRESS:PORT/],
  [["--limit", "0"], /--limit 0: write a whole number from 1 on/],
])("%j is wrong usage", async (args, message) => {
  const { status, err } = await run(...args);
  expect(status).toBe(2);
  expect(err).toMatch(message);
});
