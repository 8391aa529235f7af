import fc from "fast-check";
import { expect, test } from "vitest";
import type { Deployment } from "../../../src/api/types/apps-v1.generated.ts";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { ClientError, isNotFound } from "../../../src/client/errors.ts";
import { resources } from "../../../src/client/resources.ts";
import type { Transport } from "../../../src/client/transport.ts";
import { controllerNames, startControllers } from "../../../src/controllers/main.ts";
import { startScheduler } from "../../../src/scheduler/main.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi } from "../../support/memory-api.ts";
import { startMemoryKubelet } from "../../support/memory-kubelet.ts";

type Fault = "none" | "refused" | "lost";

/** The API as controllers meet it in bad times: a request fails before it is done, or its answer is lost. */
function unreliable(api: MemoryApi, next: () => Fault): Transport {
  return {
    async request(r, s) {
      const fault = next();
      if (fault === "refused") throw new ClientError("connection", "refused");
      const answer = await api.request(r, s);
      if (fault === "lost" && r.method !== "GET") throw new ClientError("connection", "lost");
      return answer;
    },
  };
}

type Step =
  | { readonly kind: "scale"; readonly replicas: number }
  | { readonly kind: "image"; readonly image: string }
  | { readonly kind: "kill"; readonly index: number }
  | { readonly kind: "unready"; readonly index: number }
  | { readonly kind: "drop" | "compact" }
  | { readonly kind: "wait"; readonly ms: number };

const steps = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ kind: fc.constant("scale"), replicas: fc.integer({ min: 0, max: 6 }) }),
    fc.record({ kind: fc.constant("image"), image: fc.constantFrom("v1", "v2", "v3") }),
    fc.record({ kind: fc.constantFrom("kill", "unready"), index: fc.nat(5) }),
    fc.record({ kind: fc.constantFrom("drop", "compact") }),
    fc.record({ kind: fc.constant("wait"), ms: fc.constantFrom(0, 5, 50, 1000) }),
  ),
  { minLength: 3, maxLength: 15 },
);

const at = { namespace: "shop", name: "web" };
const template = (image: string) => ({ metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "main", image }] } });
const web: Deployment = { metadata: at, spec: { replicas: 3, selector: { matchLabels: { app: "web" } }, template: template("v1") } };

async function run(list: readonly Step[], fault: () => Fault): Promise<{ readonly most: number; readonly allowed: number }> {
  const api = new MemoryApi();
  const client = createClient(api);
  const clock = new FakeClock();
  let quiet = false;
  const transport = unreliable(api, () => (quiet ? "none" : fault()));
  // The node here has no heartbeat.
  const only = controllerNames.filter((name) => name !== "node-lifecycle");
  const controllers = startControllers({ transport, clusterCidrs: [], lbPool: [], rootCaPem: "CA", only }, { clock, random: seeded() });
  const scheduler = startScheduler({ transport }, { clock });
  const kubelet = startMemoryKubelet(api, { clock });
  try {
    await client.create(resources.nodes, { metadata: { name: "n1" }, status: { allocatable: { cpu: "9", pods: "99" } } });
    await client.create(resources.services, {
      metadata: at,
      spec: { selector: { app: "web" }, ports: [{ port: 80 }], clusterIP: "10.96.0.1" },
    });
    await client.create(resources.deployments, web);
    let [most, allowed] = [0, 4];
    const active = async (): Promise<readonly Pod[]> =>
      (await client.list(resources.pods)).items.filter((p) => p.metadata?.deletionTimestamp === undefined);
    for (const step of list) {
      const pods = await active();
      const pod = "index" in step ? pods[step.index % Math.max(1, pods.length)] : undefined;
      const name = { namespace: "shop", name: pod?.metadata?.name ?? "" };
      if (step.kind === "scale") {
        await client.patch(resources.deployments, at, { type: "merge", body: { spec: { replicas: step.replicas } } });
        allowed = Math.max(allowed, step.replicas + Math.ceil(step.replicas / 4));
      } else if (step.kind === "image")
        await client.patch(resources.deployments, at, { type: "merge", body: { spec: { template: template(step.image) } } });
      else if (step.kind === "kill" && pod !== undefined) await unlessGone(client.delete(resources.pods, name, { gracePeriodSeconds: 0 }));
      else if (step.kind === "unready" && pod !== undefined) {
        const failed = { type: "merge" as const, body: { status: { phase: "Failed" } } };
        await unlessGone(client.patch(resources.pods, name, failed, { subresource: "status" }));
      } else if (step.kind === "drop") api.endWatches();
      else if (step.kind === "compact") api.compact();
      else if (step.kind === "wait") await clock.advance(step.ms);
      most = Math.max(most, (await active()).filter((p) => p.status?.phase !== "Failed").length);
    }
    quiet = true;
    for (let i = 0; i < 12; i++) {
      await clock.advance(15_000);
      most = Math.max(most, (await active()).filter((p) => p.status?.phase !== "Failed").length);
    }
    const d = await client.get(resources.deployments, at);
    const serving = (await active()).filter((p) => p.status?.phase !== "Failed");
    const wanted = d.spec?.replicas ?? 0;
    expect(serving.map((p) => p.spec?.containers?.[0]?.image)).toEqual(
      new Array(wanted).fill(d.spec?.template.spec?.containers?.[0]?.image),
    );
    expect(d.status?.observedGeneration).toBe(d.metadata?.generation);
    expect([d.status?.replicas ?? 0, d.status?.availableReplicas ?? 0]).toEqual([wanted, wanted]);
    const slices = (await client.list(resources.endpointSlices)).items;
    const ips = slices.flatMap((s) => (s.endpoints ?? []).flatMap((e) => e.addresses ?? []));
    expect(ips.sort()).toEqual(serving.map((p) => p.status?.podIP ?? "").sort());
    expect(slices.length).toBe(1);
    const sizes = (await client.list(resources.replicaSets)).items.map((rs) => rs.spec?.replicas ?? 0).filter((n) => n > 0);
    expect(sizes).toEqual(wanted === 0 ? [] : [wanted]);
    return { most, allowed };
  } finally {
    await Promise.all([controllers.close(), scheduler.close()]);
    await kubelet.close();
  }
}

/** The pod may have ended by itself just before. */
async function unlessGone(write: Promise<unknown>): Promise<void> {
  await write.catch((e: unknown) => {
    if (!isNotFound(e)) throw e;
  });
}

/** The same names every time, so that a failure can be run again. */
function seeded(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x80000000;
  };
}

test("whatever is asked and however often requests are refused, it ends as asked, and never has too many pods", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.infiniteStream(fc.integer({ min: 0, max: 5 })), async (list, luck) => {
      const { most, allowed } = await run(list, () => (luck.next().value === 0 ? "refused" : "none"));
      expect(most).toBeLessThanOrEqual(allowed);
    }),
    { numRuns: 8 },
  );
});

test("also when answers are lost it ends as asked", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.infiniteStream(fc.integer({ min: 0, max: 7 })), async (list, luck) => {
      await run(list, () => (["refused", "lost"] as const)[luck.next().value ?? 9] ?? "none");
    }),
    { numRuns: 8 },
  );
});
