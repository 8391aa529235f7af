import { expect, test } from "vitest";
import type { Pod, PodStatus } from "../../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { StatusWriter } from "../../../src/node/status-writer.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi } from "../../support/memory-api.ts";

const at = { namespace: "default", name: "web" };
const said = (ready: string, since: string): PodStatus => ({
  phase: "Running",
  conditions: [{ type: "Ready", status: ready, lastTransitionTime: since }],
});

async function start() {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const client = createClient(api);
  const stop = new AbortController();
  const writer = new StatusWriter(client, clock, stop.signal, () => undefined);
  const pod = await client.create(resources.pods, { metadata: at, spec: { containers: [{ name: "c", image: "i" }] } });
  const writes = (): number => api.requests.filter((r) => r.startsWith("PATCH")).length;
  const live = (): Promise<Pod> => client.get(resources.pods, at);
  const ready = async (): Promise<string | undefined> => (await live()).status?.conditions?.[0]?.status;
  const others = (status: PodStatus): Promise<Pod> =>
    client.patch(resources.pods, at, { type: "merge", body: { status } }, { subresource: "status" });
  return { writer, clock, stop, pod, writes, live, ready, others };
}

test("an equal status is not written again, whatever version of the object it comes with", async () => {
  const { writer, clock, pod, writes, live } = await start();
  writer.publish(pod, said("True", "2030-01-01T00:00:00Z"));
  await clock.advance(0);
  writer.publish(pod, said("True", "2030-01-01T00:00:00Z"));
  writer.publish(await live(), said("True", "2030-01-01T00:00:00Z"));
  await clock.advance(5000);
  expect(writes()).toBe(1);
});

test("what somebody else wrote over it is put right, a second later at the soonest", async () => {
  const { writer, clock, pod, writes, live, ready, others } = await start();
  writer.publish(pod, said("True", "2030-01-01T00:00:00Z"));
  await clock.advance(0);
  await others(said("False", "2030-01-01T00:00:40Z"));
  const before = writes();
  writer.publish(await live(), said("True", "2030-01-01T00:00:41Z"));
  await clock.advance(999);
  expect([await ready(), writes()]).toEqual(["False", before]);
  await clock.advance(1);
  expect([await ready(), writes()]).toEqual(["True", before + 1]);
  await clock.advance(5000);
  expect(writes()).toBe(before + 1);
});

test("news is written at once, also over what somebody else wrote", async () => {
  const { writer, clock, pod, live, ready, others } = await start();
  writer.publish(pod, said("False", "2030-01-01T00:00:00Z"));
  await clock.advance(0);
  await others(said("Unknown", "2030-01-01T00:00:40Z"));
  writer.publish(await live(), said("True", "2030-01-01T00:00:41Z"));
  await clock.advance(0);
  expect(await ready()).toBe("True");
});

test("conditions of others are kept, also those that came after what the node has seen; what has gone from ours is gone", async () => {
  const { writer, clock, pod, live, others } = await start();
  const told = { type: "Ready", status: "False", reason: "ContainersNotReady", message: "containers with unready status: [c]" };
  const ips = (ip: string): PodStatus => ({ phase: "Running", podIP: ip, podIPs: [{ ip }, { ip: "fd00::2" }] });
  writer.publish(pod, { ...ips("10.0.0.2"), reason: "Old", conditions: [told] });
  await clock.advance(0);
  const gate = { type: "example.com/gate", status: "True" };
  await others({ conditions: [told, gate] });
  // The worker has not heard of the gate yet.
  writer.publish(pod, { ...ips("10.0.0.3"), conditions: [{ type: "Ready", status: "True" }] });
  await clock.advance(0);
  const { status } = await live();
  expect(status?.conditions).toEqual([{ type: "Ready", status: "True" }, gate]);
  expect(status).toMatchObject({ podIPs: [{ ip: "10.0.0.3" }, { ip: "fd00::2" }] });
  expect(status?.reason).toBeUndefined();
});
