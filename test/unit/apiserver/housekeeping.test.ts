import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { makeTestServer } from "./test-server.ts";

test("old Events go, newer ones and other objects stay; what two rounds ago was past cannot be listed any more", async () => {
  const hour = 3_600_000;
  let ahead = 0;
  let round: (() => void) | undefined;
  const rounds = { begun: 0 };
  const clock = {
    ...systemClock,
    now: () => Date.now() + ahead,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        if (ms === 300_000) {
          rounds.begun++;
          round = resolve;
        } else if (ms < 5000) setImmediate(resolve);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  };
  const api = await makeTestServer({}, { clock });
  const pass = async (): Promise<void> => {
    const before = rounds.begun;
    round?.();
    while (rounds.begun === before) await new Promise((resolve) => setImmediate(resolve));
  };
  const events = "/api/v1/namespaces/default/events";
  const event = (name: string, lastTimestamp: string) => ({
    metadata: { name },
    involvedObject: { kind: "Pod", namespace: "default", name: "p" },
    reason: "Tested",
    message: "m",
    type: "Normal",
    lastTimestamp,
  });
  const at = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
  await api.call("POST", events, event("old", at(Date.now())));
  await api.call("POST", events, event("new", at(Date.now() + hour)));
  const then = String((await api.call("GET", events)).get("metadata.resourceVersion"));
  await pass();
  expect((await api.call("GET", `${events}/old`)).status).toBe(200);
  ahead = hour + 10_000;
  await pass();
  expect((await api.call("GET", `${events}/old`)).status).toBe(404);
  expect((await api.call("GET", `${events}/new`)).status).toBe(200);
  await pass();
  const gone = await api.call("GET", `${events}?resourceVersion=${Number(then) - 1}&resourceVersionMatch=Exact`);
  expect([gone.status, gone.get("reason")]).toEqual([410, "Expired"]);
  const token = Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: Number(then) - 1, start: "default/a" })).toString("base64url");
  const page = await api.call("GET", `/api/v1/events?limit=1&continue=${token}`);
  expect([page.status, page.get("message")]).toEqual([410, expect.stringContaining("The provided continue parameter is too old")]);
  const rest = await api.call("GET", `/api/v1/events?limit=1&continue=${String(page.get("metadata.continue"))}`);
  expect([rest.status, rest.get("items.0.metadata.name")]).toEqual([200, "new"]);
  await api.close();
});
