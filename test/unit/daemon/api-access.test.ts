import { once } from "node:events";
import { expect, test } from "vitest";
import type { Transport } from "../../../src/client/transport.ts";
import { startSnapshotFeed } from "../../../src/daemon/api-access.ts";
import type { Log } from "../../../src/observe/log.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** An API server that has one Service and answers errors as it is told: by the plural's name, an HTTP status or 0 for "not reachable". */
function scriptedApi(errors: Map<string, number>, priorities: (string | undefined)[]): Transport {
  const lines = [
    { type: "ADDED", object: { metadata: { namespace: "default", name: "web", resourceVersion: "5" } } },
    { type: "BOOKMARK", object: { metadata: { resourceVersion: "5", annotations: { "k8s.io/initial-events-end": "true" } } } },
  ];
  async function* events(s: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const line of lines) yield Buffer.from(`${JSON.stringify(line)}\n`);
    if (!s.aborted) await once(s, "abort");
  }
  return {
    async request(r, s) {
      priorities.push(r.headers?.["priority"]);
      const plural = /\/([a-z]+)\?/.exec(r.path)?.[1] ?? "";
      const status = errors.get(plural) ?? 200;
      if (status === 0) throw new Error("connect ECONNREFUSED");
      if (status === 200) return { status, headers: {}, body: events(s) };
      const body = { kind: "Status", code: status, message: `HTTP ${status}`, reason: status === 404 ? "NotFound" : "" };
      return {
        status,
        headers: {},
        body: (async function* () {
          yield Buffer.from(JSON.stringify(body));
        })(),
      };
    },
  };
}

function feedOf(errors: Map<string, number>, kinds: Parameters<typeof startSnapshotFeed>[2]) {
  const store = new SnapshotStore();
  const clock = new FakeClock();
  const said: string[] = [];
  const log: Log = Object.assign((level: string, message: string) => void said.push(`${level} ${message}`), { child: () => log });
  const failed: string[] = [];
  const priorities: (string | undefined)[] = [];
  const feed = startSnapshotFeed(scriptedApi(errors, priorities), store, kinds, {
    clock,
    log,
    onFailure: (kind) => void failed.push(kind),
  });
  return { store, clock, said, failed, feed, priorities };
}

test("an API server without ServiceCIDR (before 1.33) is one that has none: no warning, no failure, and ready", async () => {
  const { store, clock, said, failed, feed } = feedOf(new Map([["servicecidrs", 404]]), ["Service", "ServiceCIDR"]);
  await feed.ready;
  await clock.advance(60_000);
  expect(store.synced(["Service", "ServiceCIDR"])).toBe(true);
  expect([store.current.tables.Service.size, store.current.tables.ServiceCIDR.size]).toEqual([1, 0]);
  expect([said, failed]).toEqual([[], []]);
  await feed.close();
});

test("any other kind that is missing is a failure", async () => {
  const { store, clock, failed, feed } = feedOf(new Map([["services", 404]]), ["Service"]);
  await clock.advance(50);
  expect(failed).toEqual(["Service"]);
  expect(store.synced(["Service"])).toBe(false);
  await feed.close();
});

test("each thing in the way is said once, and that it is over", async () => {
  const errors = new Map([["services", 0]]);
  const { clock, said, feed, store } = feedOf(errors, ["Service"]);
  for (const status of [0, 401, 403, 200]) {
    errors.set("services", status);
    await clock.advance(60_000);
  }
  expect(said).toEqual([
    "warn cannot read Service objects; going on with what is known",
    "warn cannot read Service objects: the API server does not accept this credential (expired? each try reads it anew); going on with what is known",
    "warn cannot read Service objects: this user may not (what it needs is in deploy/rbac.yaml); going on with what is known",
    "info reading Service objects again",
  ]);
  expect(store.current.tables.Service.size).toBe(1);
  await feed.close();
});

test("a node asks to be told before all others", async () => {
  const { priorities, feed } = feedOf(new Map(), ["Service", "EndpointSlice"]);
  await feed.ready;
  expect(priorities).toEqual(["u=0", "u=0"]);
  await feed.close();
});
