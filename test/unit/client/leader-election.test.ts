import { expect, test } from "vitest";
import type { Running } from "../../../src/base/running.ts";
import { createClient } from "../../../src/client/client.ts";
import { startLeaderElection } from "../../../src/client/leader-election.ts";
import { resources } from "../../../src/client/resources.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi, status } from "../../support/memory-api.ts";

const at = { namespace: "kube-system", name: "work" };

function candidate(api: MemoryApi, clock: FakeClock, identity: string, log: string[]): Running {
  return startLeaderElection(
    {
      transport: api,
      ...at,
      identity,
      lead: () => {
        log.push(`${identity} leads`);
        return {
          ready: Promise.resolve(),
          close: async () => void log.push(`${identity} stops`),
        };
      },
    },
    { clock },
  );
}

test("one leads, the other takes over when it closes, at once", async () => {
  const [api, clock, log] = [new MemoryApi(), new FakeClock(), [] as string[]];
  const a = candidate(api, clock, "a", log);
  await clock.advance(10);
  const b = candidate(api, clock, "b", log);
  await clock.advance(60_000);
  await Promise.all([a.ready, b.ready]);
  expect(log).toEqual(["a leads"]);
  await a.close();
  await clock.advance(4_000);
  expect(log).toEqual(["a leads", "a stops", "b leads"]);
  const lease = await createClient(api).get(resources.leases, at);
  expect(lease.spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1, leaseDurationSeconds: 15 });
  expect(lease.spec?.renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  await b.close();
});

test("a leader that cannot renew steps down before another may lead", async () => {
  const [api, clock, log] = [new MemoryApi(), new FakeClock(), [] as string[]];
  const a = candidate(api, clock, "a", log);
  await clock.advance(10);
  const b = candidate(api, clock, "b", log);
  await clock.advance(10);
  // Only a is cut off: the one whose renewals carry its name.
  api.intercept = (r) =>
    r.method === "PUT" && String(r.body).includes('"holderIdentity":"a"') ? status(500, "InternalError", "cut off") : undefined;
  await clock.advance(60_000);
  expect(log).toEqual(["a leads", "a stops", "b leads"]);
  await a.close();
  await b.close();
  expect(log).toEqual(["a leads", "a stops", "b leads", "b stops"]);
});

test("short trouble is sat out; the same identity goes on with its own lease after a restart", async () => {
  const [api, clock, log] = [new MemoryApi(), new FakeClock(), [] as string[]];
  const a = candidate(api, clock, "a", log);
  await clock.advance(10);
  api.intercept = () => status(503, "ServiceUnavailable", "starting");
  await clock.advance(6_000);
  api.intercept = undefined;
  await clock.advance(30_000);
  expect(log).toEqual(["a leads"]);
  const again = candidate(api, clock, "a", log);
  await clock.advance(10);
  expect(log).toEqual(["a leads", "a leads"]);
  await again.close();
  await a.close();
});

test("a leader renews without reading; a Lease that others touched, took or deleted is read again", async () => {
  const [api, clock, log] = [new MemoryApi(), new FakeClock(), [] as string[]];
  const client = createClient(api);
  const a = candidate(api, clock, "a", log);
  await clock.advance(10);
  const requestsOf = async (ms: number): Promise<readonly string[]> => {
    const before = api.requests.length;
    await clock.advance(ms);
    return api.requests.slice(before).map((r) => r.split(" ")[0] ?? "");
  };
  expect(await requestsOf(6_000)).toEqual(["PUT", "PUT", "PUT"]);

  await client.patch(resources.leases, at, { type: "merge", body: { metadata: { annotations: { touched: "yes" } } } });
  expect(await requestsOf(2_000)).toEqual(["PUT", "GET", "PUT"]);
  expect(await client.get(resources.leases, at)).toMatchObject({
    metadata: { annotations: { touched: "yes" } },
    spec: { holderIdentity: "a" },
  });
  await client.delete(resources.leases, at);
  expect(await requestsOf(2_000)).toEqual(["PUT", "GET", "POST"]);
  expect(log).toEqual(["a leads"]);

  await client.patch(resources.leases, at, { type: "merge", body: { spec: { holderIdentity: "b" } } });
  expect(await requestsOf(4_000)).toEqual(["PUT", "GET", "GET"]);
  expect(log).toEqual(["a leads", "a stops"]);
  await a.close();
});

test("a Lease is given back even where a renewal that was under way came through first", async () => {
  const [api, clock, log] = [new MemoryApi(), new FakeClock(), [] as string[]];
  const a = candidate(api, clock, "a", log);
  await clock.advance(10);
  const b = candidate(api, clock, "b", log);
  await clock.advance(10);
  let conflicts = 0;
  api.intercept = (r) =>
    r.method === "PUT" && String(r.body).includes('"holderIdentity":""') && conflicts++ < 2
      ? status(409, "Conflict", "modified")
      : undefined;
  await a.close();
  // far less than what the Lease would last
  await clock.advance(4_000);
  expect([conflicts, log]).toEqual([3, ["a leads", "a stops", "b leads"]]);
  await b.close();
});
