import { afterEach, expect, test } from "vitest";
import type { Pool } from "../../../ingress/index.ts";
import type { AccessEntry } from "../../../ingress/proxy/context.ts";
import { fastClock, get, makeTable, poolOf, RawClient, RawEndpoint, type SeenRequest, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const limits = { requests: 1, pending: 1, pendingSeconds: 5 };

/** An ingress whose one endpoint answers when it is told to, and at most one request at once. */
async function lab(speed = 1, change: Partial<Pool> = {}) {
  const held: SeenRequest[] = [];
  const up = await RawEndpoint.start((r) => void held.push(r));
  const log: AccessEntry[] = [];
  const { ingress, http } = await startLab([up.port], { clock: fastClock(speed), config: { accessLog: (e) => void log.push(e) } });
  open.push(
    () => up.close(),
    () => ingress.close(),
  );
  const pools = (pool: Pool, revision: number): void =>
    ingress.apply({ ...makeTable([]), revision, full: false, pools: { upserts: [pool], deletes: [] } });
  pools({ ...poolOf([up.port]), limits, ...change }, 2);
  const ask = (path: string): RawClient => {
    const c = RawClient.connect(http);
    open.push(() => void c.socket.destroy());
    return c.send(get(path));
  };
  const metric = (name: string): string => new RegExp(`^fairway_ingress_${name} (\\d+)$`, "m").exec(ingress.metrics())?.[1] ?? "";
  return { up, held, log, ask, metric, pools };
}

async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setImmediate(resolve));
}

const answer = (r: SeenRequest | undefined): void => void r?.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const whole = (text: string): boolean => text.slice(text.indexOf("\r\n\r\n")).length > 4;

test("with the endpoint at its limit, a request waits for its turn, and one more than may wait is refused", async () => {
  const { held, log, ask, metric, up } = await lab();
  const first = ask("/1");
  await until(() => held.length === 1);
  const second = ask("/2");
  await until(() => metric("pending_requests") === "1");
  expect(await ask("/3").until(whole)).toMatch(/^HTTP\/1\.1 503 /);
  expect([log.map((e) => [e.target, e.status, e.reason]), metric('pending_refused_total{reason="pending-full"}')]).toEqual([
    [["/3", 503, "pending-full"]],
    "1",
  ]);
  answer(held[0]);
  expect(await first.until(whole)).toMatch(/^HTTP\/1\.1 200 /);
  await until(() => held.length === 2);
  expect(metric("pending_requests")).toBe("0");
  answer(held[1]);
  expect(await second.until(whole)).toMatch(/^HTTP\/1\.1 200 /);
  // the connection that made room carries who waited for it
  expect([up.accepted, log.at(-1)?.reason]).toEqual([1, ""]);
});

test("who waits longer than it may is refused, and the endpoint is not blamed", async () => {
  const { held, log, ask, metric } = await lab(10);
  ask("/1");
  await until(() => held.length === 1);
  expect(await ask("/2").until(whole)).toMatch(/^HTTP\/1\.1 503 /);
  expect([log[0]?.reason, metric('pending_refused_total{reason="pending-timeout"}'), metric("upstream_failures_total")]).toEqual([
    "pending-timeout",
    "1",
    "0",
  ]);
});

test("a client that leaves gives its place to another", async () => {
  const { held, ask, metric } = await lab();
  ask("/1");
  await until(() => held.length === 1);
  const second = ask("/2");
  await until(() => metric("pending_requests") === "1");
  second.socket.destroy();
  await until(() => metric("pending_requests") === "0");
  const third = ask("/3");
  await until(() => metric("pending_requests") === "1");
  answer(held[0]);
  await until(() => held.length === 2);
  answer(held[1]);
  expect(await third.until(whole)).toMatch(/^HTTP\/1\.1 200 /);
  expect(held.map((r) => r.head.split(" ")[1])).toEqual(["/1", "/3"]);
});

test("an endpoint that comes has room for who waits", async () => {
  const { held, ask, metric, pools, up } = await lab();
  ask("/1");
  await until(() => held.length === 1);
  const second = ask("/2");
  await until(() => metric("pending_requests") === "1");
  const other = await RawEndpoint.start(answer);
  open.push(() => other.close());
  pools({ ...poolOf([up.port, other.port]), limits }, 3);
  expect(await second.until(whole)).toMatch(/^HTTP\/1\.1 200 /);
});

test("without a queue, and beside an endpoint that has room", async () => {
  const { held, ask, pools, up } = await lab(1, { limits: { ...limits, pending: 0 } });
  ask("/1");
  await until(() => held.length === 1);
  expect(await ask("/2").until(whole)).toMatch(/^HTTP\/1\.1 503 /);
  const other = await RawEndpoint.start(answer);
  open.push(() => other.close());
  pools({ ...poolOf([up.port, other.port]), limits }, 3);
  for (let i = 0; i < 4; i++) expect(await ask("/3").until(whole)).toMatch(/^HTTP\/1\.1 200 /);
});
