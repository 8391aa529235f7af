import { expect, test } from "vitest";
import { createClient } from "../../../src/client/client.ts";
import { createEventRecorder, type EventNote } from "../../../src/client/events.ts";
import { resources } from "../../../src/client/resources.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi, status } from "../../support/memory-api.ts";

const regarding = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "web", uid: "u" };
const note = (message: string, more: Partial<EventNote> = {}): EventNote => ({
  regarding,
  type: "Warning",
  reason: "Failed",
  message,
  ...more,
});

async function written(notes: readonly EventNote[], prepare?: (api: MemoryApi, clock: FakeClock) => void) {
  const api = new MemoryApi();
  const clock = new FakeClock();
  prepare?.(api, clock);
  const recorder = createEventRecorder(api, { component: "scheduler", host: "n1", clock });
  for (const n of notes) recorder.record(n);
  await recorder.close();
  const events = (await createClient(api).list(resources.events)).items;
  return { events, lines: events.map((e) => `${e.reason}: ${e.message} x${e.count}`), dropped: recorder.dropped };
}

test("an event as kubectl shows it", async () => {
  const { events } = await written([note("oh no")]);
  expect(events[0]).toMatchObject({
    metadata: { namespace: "shop" },
    involvedObject: regarding,
    type: "Warning",
    reason: "Failed",
    message: "oh no",
    action: "Failed",
    source: { component: "scheduler", host: "n1" },
    reportingComponent: "scheduler",
    reportingInstance: "n1",
    firstTimestamp: "2030-01-01T00:00:00Z",
    lastTimestamp: "2030-01-01T00:00:00Z",
    count: 1,
  });
  expect(events[0]?.metadata?.name).toMatch(/^web\.[0-9a-f]+$/);
});

test("what speaks for no host is the source once, not its instance too", async () => {
  const api = new MemoryApi();
  const recorder = createEventRecorder(api, { component: "scheduler", clock: new FakeClock() });
  recorder.record(note("oh no"));
  await recorder.close();
  const [event] = (await createClient(api).list(resources.events)).items;
  expect(event).toMatchObject({ source: { component: "scheduler" }, reportingComponent: "scheduler", reportingInstance: "" });
});

test("what several processes find is one event, and later again the same one", async () => {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const find = async (host: string, message: string): Promise<void> => {
    const recorder = createEventRecorder(api, { component: "fairway", host, clock });
    recorder.record(note(message, { shared: true }));
    await recorder.close();
  };
  await find("n1", "refused");
  await clock.advance(60_000);
  await find("n2", "refused");
  await find("n2", "refused for another reason");
  const events = (await createClient(api).list(resources.events)).items;
  const lines = events.map((e) => [e.message, e.source?.host, e.firstTimestamp, e.lastTimestamp]);
  expect(lines.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1))).toEqual([
    ["refused", "n1", "2030-01-01T00:00:00Z", "2030-01-01T00:01:00Z"],
    ["refused for another reason", "n2", "2030-01-01T00:01:00Z", "2030-01-01T00:01:00Z"],
  ]);
});

test("the same again is counted; another message is another event; an object of no namespace is told in default", async () => {
  const { lines, events } = await written([
    note("a"),
    note("a"),
    note("b"),
    note("a"),
    note("c", { regarding: { kind: "Node", name: "n1", uid: "n1" } }),
  ]);
  expect(lines.sort()).toEqual(["Failed: a x3", "Failed: b x1", "Failed: c x1"]);
  expect(events.find((e) => e.message === "c")?.metadata?.namespace).toBe("default");
});

test("many that differ in their message only are counted together", async () => {
  const { lines } = await written(Array.from({ length: 14 }, (_, i) => note(`try ${i}`)));
  expect(lines.length).toBe(11);
  expect(lines).toContain("Failed: (combined from similar events): try 13 x4");
});

test("an object that makes too many is cut short", async () => {
  const { events, dropped } = await written(Array.from({ length: 40 }, () => note("again")));
  expect([events.length, events[0]?.count, dropped]).toEqual([1, 25, 15]);
});

test("an event that has expired begins anew; a refusal is dropped, not thrown", async () => {
  const gone = await written([note("a"), note("a")], (api) => {
    api.intercept = (r) => (r.method === "PATCH" ? status(404, "NotFound", "gone") : undefined);
  });
  expect(gone.lines.length).toBe(1); // created anew under the same name at the same time
  const refused = await written([note("a")], (api) => {
    api.intercept = (r) => (r.method === "POST" ? status(403, "Forbidden", "no") : undefined);
  });
  expect([refused.events.length, refused.dropped]).toEqual([0, 1]);
});
