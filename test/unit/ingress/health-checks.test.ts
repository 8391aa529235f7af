import { afterEach, expect, test } from "vitest";
import type { Pool } from "../../../ingress/index.ts";
import { type Answer, fastClock, get, makeTable, poolOf, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** An endpoint that says its name to requests, and to health checks what `state.health` says. */
async function endpoint(name: string): Promise<{ up: RawEndpoint; state: { health: number | undefined }; checks: () => number }> {
  const state: { health: number | undefined } = { health: 200 };
  const answer: Answer = (r) => {
    if (!r.head.includes("fairway-health")) r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${name}`);
    else if (state.health !== undefined) r.socket.write(`HTTP/1.1 ${state.health} X\r\nContent-Length: 0\r\n\r\n`);
  };
  const up = await RawEndpoint.start(answer);
  open.push(() => up.close());
  return { up, state, checks: () => up.seen.filter((s) => s.head.includes("fairway-health")).length };
}

const health = { path: "/healthz", host: "h.test", intervalSeconds: 2, timeoutSeconds: 4, failures: 2, successes: 2 };

async function lab(ports: readonly number[]) {
  const { ingress, http } = await startLab(ports, { clock: fastClock(50), random: Math.random });
  open.push(() => ingress.close());
  const pools = (pool: Pool, revision: number): void =>
    ingress.apply({ ...makeTable(ports), revision, full: false, pools: { upserts: [pool], deletes: [] } });
  pools({ ...poolOf(ports), health }, 2);
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  /** Who answers the next requests. */
  const ask = async (count = 4): Promise<string> => {
    let names = "";
    for (let i = 0; i < count; i++) {
      c.text = "";
      names += (await c.send(get()).until((t) => /\r\n\r\n.$/.test(t))).slice(-1);
    }
    return names;
  };
  const until = async (test: (names: string) => boolean): Promise<string> => {
    for (;;) {
      const names = await ask();
      if (test(names)) return names;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { ask, until, pools };
}

test.for<[name: string, health: number | undefined]>([
  ["answers with an error", 503],
  ["is sent elsewhere by nobody: 404", 404],
  ["says nothing in time", undefined],
])("an endpoint whose health check %s gets nothing until it is well again", async ([, status]) => {
  const [a, b] = [await endpoint("a"), await endpoint("b")];
  const { until } = await lab([a.up.port, b.up.port]);
  await until((names) => names.includes("a") && names.includes("b") && a.checks() > 1);
  expect(a.up.seen.find((s) => s.head.includes("fairway-health"))?.head).toMatch(/^GET \/healthz HTTP\/1\.1\r\nHost: h\.test\r\n/);
  a.state.health = status;
  await until((names) => names === "bbbb");
  a.state.health = 204;
  await until((names) => names.includes("a") && names.includes("b"));
});

test("one that refuses connections is unwell, whoever else asks for it", async () => {
  const [a, b] = [await endpoint("a"), await endpoint("b")];
  const { until } = await lab([a.up.port, b.up.port]);
  await until(() => a.checks() > 0 && b.checks() > 0);
  await a.up.close();
  await until((names) => names === "bbbb");
});

test("when none is well, all are asked; without the check, what it found is forgotten", async () => {
  const [a, b] = [await endpoint("a"), await endpoint("b")];
  const { until, pools } = await lab([a.up.port, b.up.port]);
  a.state.health = 500;
  await until((names) => names === "bbbb");
  b.state.health = 500;
  await until((names) => names.includes("a") && names.includes("b"));
  b.state.health = 200;
  await until((names) => names === "bbbb");
  pools(poolOf([a.up.port, b.up.port]), 3);
  await until((names) => names.includes("a") && names.includes("b"));
});
