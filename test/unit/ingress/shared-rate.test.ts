import { afterEach, expect, test } from "vitest";
import { SharedCounts } from "../../../ingress/filter/shared-counts.ts";
import type { IngressServer, Route } from "../../../ingress/index.ts";
import { DatagramSeal } from "../../../ingress/proxy/sealed-datagram.ts";
import { get, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** Processes whose words arrive after `delayMs`, or never where `lost` says so; nothing happens but by `at`. */
function makeCluster(size: number, o: { readonly delayMs: number; readonly lost?: (n: number) => boolean }) {
  let time = 0;
  let sent = 0;
  const under: { at: number; to: SharedCounts; from: string; entries: ReturnType<SharedCounts["all"]> }[] = [];
  const tell = (i: number, entries: ReturnType<SharedCounts["all"]>): void => {
    if (entries.length === 0) return;
    for (const [j, to] of all.entries())
      if (i !== j && o.lost?.(sent++) !== true) under.push({ at: time + o.delayMs, to, from: `p${i}`, entries });
  };
  const all: SharedCounts[] = Array.from({ length: size }, (_, i) => {
    const counts: SharedCounts = new SharedCounts({ time: () => time, peers: () => size - 1, onUrgent: () => tell(i, counts.news()) });
    return counts;
  });
  return {
    all,
    /** Time goes on to `t`: words arrive, and every 100 ms each process tells what has changed. */
    at: (t: number): void => {
      for (; time < t; time++) {
        for (const w of under.splice(0)) {
          if (w.at <= time) w.to.merge(w.from, w.entries);
          else under.push(w);
        }
        if (time % 100 === 0) for (const [i, counts] of all.entries()) tell(i, counts.changes());
      }
    },
  };
}

const use = (limit: number, windowMs = 1000) => ({ bucket: "b", client: "c", limit, windowMs });

test("one process alone lets in exactly the limit, and as the window slides", () => {
  const { all, at } = makeCluster(1, { delayMs: 0 });
  const [counts] = all;
  const taken = (n: number): number => Array.from({ length: n }, () => counts?.take(use(10))).filter((ok) => ok === true).length;
  expect(taken(20)).toBe(10);
  at(999);
  expect(taken(1)).toBe(0);
  // half of the window before still counts
  at(1500);
  expect(taken(20)).toBe(5);
  at(1600);
  expect(taken(20)).toBe(1);
  at(4000);
  expect(taken(20)).toBe(10);
});

test.for<[name: string, size: number, delayMs: number, lost: (n: number) => boolean, perMs: number]>([
  ["a rack", 3, 1, () => false, 1],
  ["two nodes of two processes, 5 ms apart", 4, 5, () => false, 1],
  ["one datagram in five lost", 3, 1, (n) => n % 5 === 0, 1],
])("%s: at most what is under way above the limit, and one for each other process", ([, size, delayMs, lost, perMs]) => {
  const limit = 300;
  const { all, at } = makeCluster(size, { delayMs, lost });
  let taken = 0;
  // ten times as many requests as are let in, spread over all processes
  for (let ms = 0; ms < 1000; ms++) {
    at(ms);
    for (let i = 0; i < 3 * perMs; i++) if (all[(ms * 3 + i) % size]?.take(use(limit)) === true) taken++;
  }
  const underWay = 3 * perMs * (delayMs + 1) * (lost(0) ? 101 : 1);
  expect(taken).toBeGreaterThanOrEqual(limit);
  expect(taken).toBeLessThanOrEqual(limit + (size - 1) + underWay);
});

test("all requests at one process of several: it gives away nothing of the limit", () => {
  const { all, at } = makeCluster(3, { delayMs: 1 });
  at(10);
  expect(Array.from({ length: 40 }, () => all[1]?.take(use(30, 60_000))).filter((ok) => ok === true)).toHaveLength(30);
  at(20);
  expect(all.map((c) => c.take(use(30, 60_000)))).toEqual([false, false, false]);
});

test("words that are late, doubled, of long ago or of the far future change nothing", () => {
  const { all, at } = makeCluster(1, { delayMs: 0 });
  const [counts] = all;
  at(5_000);
  const word = (window: number, current: number) => [{ key: "b 1000 c", windowMs: 1000, window, previous: 0, current }];
  for (const [window, current] of [
    [5, 7],
    [5, 3],
    [5, 7],
    [2, 9],
    [60, 9],
  ] as const)
    counts?.merge("p", word(window, current));
  expect(Array.from({ length: 10 }, () => counts?.take(use(10))).filter((ok) => ok === true)).toHaveLength(3);
});

test("keys that nobody uses are let go", () => {
  const { all, at } = makeCluster(1, { delayMs: 0 });
  for (let i = 0; i < 100; i++) all[0]?.take({ ...use(10), client: String(i) });
  at(1999);
  all[0]?.sweep();
  expect(all[0]?.all()).toHaveLength(100);
  at(2001);
  all[0]?.sweep();
  expect(all[0]?.all()).toEqual([]);
});

test("a datagram can be opened with the same secret only, and unchanged", () => {
  const sealed = new DatagramSeal("s", "p").seal("hello");
  expect(new DatagramSeal("s", "p").open(sealed)).toBe("hello");
  expect(new DatagramSeal("x", "p").open(sealed)).toBeUndefined();
  expect(new DatagramSeal("s", "q").open(sealed)).toBeUndefined();
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed);
    changed[i] = (changed[i] ?? 0) ^ 1;
    expect(new DatagramSeal("s", "p").open(changed)).toBeUndefined();
    expect(new DatagramSeal("s", "p").open(sealed.subarray(0, i))).toBeUndefined();
  }
});

const shared: Route["filters"][number] = {
  kind: "sharedRate",
  bucket: "b",
  limit: 60,
  windowSeconds: 3600,
  key: [{ kind: "clientIp" }],
  status: 429,
};

/** Servers on addresses that no other test of this machine uses. */
async function servers(n: number, secretOf: (i: number) => string, o: { readonly ofOneNode?: true; readonly filter?: typeof shared } = {}) {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  open.push(up);
  const addresses = Array.from(
    { length: n },
    (_, i) =>
      `127.${100 + ((process.pid >> 12) & 127)}.${(process.pid >> 4) & 255}.${(process.pid & 15) * 16 + (o.ofOneNode === true ? 15 : i)}`,
  );
  const ports: number[] = [];
  const ingresses: IngressServer[] = [];
  for (const [i, self] of addresses.entries()) {
    const { ingress, http } = await startLab([up.port], { routes: [makeRoute({ filters: [o.filter ?? shared] })] });
    const none = { upserts: [], deletes: [] };
    ingress.apply({
      revision: 2,
      full: false,
      routes: none,
      pools: none,
      certificates: none,
      gossip: { self, nodes: addresses, secret: secretOf(i) },
    });
    open.push(ingress);
    ports.push(http);
    ingresses.push(ingress);
  }
  return { ports, ingresses };
}

async function statusAt(port: number): Promise<number> {
  const client = RawClient.connect(port);
  const text = await client.send(get()).until((t) => t.includes("\r\n\r\n"));
  client.socket.destroy();
  return Number(text.slice(9, 12));
}

test("three ingress servers keep one limit", async () => {
  const { ports, ingresses } = await servers(3, () => "the same");
  while (!ingresses.every((i) => i.metrics().includes("fairway_ingress_limit_peers 2\n")))
    await new Promise((resolve) => setTimeout(resolve, 10));
  let taken = 0;
  for (let i = 0; i < 300; i++) if ((await statusAt(ports[i % 3] ?? 0)) === 200) taken++;
  expect(taken).toBeGreaterThanOrEqual(60);
  // one request at a time, so that hardly a word is under way while the next is judged
  expect(taken).toBeLessThanOrEqual(66);
  expect(await Promise.all(ports.map(statusAt))).toEqual([429, 429, 429]);
});

test("two processes of one node keep limit-rps together", async () => {
  const rate = { kind: "rateLimit", bucket: "b", perMinute: 1, burst: 19, status: 503 } as const;
  const { ports, ingresses } = await servers(2, () => "the same", { ofOneNode: true, filter: rate });
  while (!ingresses.every((i) => i.metrics().includes("fairway_ingress_limit_peers 1\n")))
    await new Promise((resolve) => setTimeout(resolve, 10));
  let taken = 0;
  for (let i = 0; i < 60; i++) if ((await statusAt(ports[i % 2] ?? 0)) === 200) taken++;
  expect(taken).toBeGreaterThanOrEqual(20);
  // each alone would let in 20
  expect(taken).toBeLessThanOrEqual(26);
});

test("who has another secret is not heard", async () => {
  const {
    ports: [a = 0, b = 0],
  } = await servers(2, String);
  for (let i = 0; i < 61; i++) await statusAt(a);
  expect([await statusAt(a), await statusAt(b)]).toEqual([429, 200]);
});
