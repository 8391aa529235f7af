import { expect, test } from "vitest";
import type { Pod } from "../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../src/client/client.ts";
import { isAlreadyExists, isConflict, isNotFound } from "../../src/client/errors.ts";
import { type Change, type Sink, startReflector } from "../../src/client/reflector.ts";
import { resources } from "../../src/client/resources.ts";
import type { Transport } from "../../src/client/transport.ts";

/** What every Transport must carry: run it with a function that gives an API without pods, with a namespace `shop`. */
export function transportContract(name: string, open: () => Promise<{ transport: Transport; close(): Promise<void> }>): void {
  const each = (title: string, body: (t: Transport) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const { transport, close } = await open();
      try {
        await body(transport);
      } finally {
        await close();
      }
    });
  };
  const pod = (n: string, labels: Record<string, string> = {}): Pod => ({
    metadata: { namespace: "shop", name: n, labels },
    spec: { containers: [{ name: "main", image: "web" }] },
  });

  each("an object is created, read, updated and deleted", async (t) => {
    const c = createClient(t);
    const made = await c.create(resources.configMaps, { metadata: { namespace: "shop", name: "a" }, data: { greeting: "Grüße, 世界" } });
    expect(made.metadata?.uid).toBeTruthy();
    const read = await c.get(resources.configMaps, { namespace: "shop", name: "a" });
    expect(read.data).toEqual({ greeting: "Grüße, 世界" });
    const changed = await c.update(resources.configMaps, { ...read, data: { greeting: "hi" } });
    expect(changed.metadata?.resourceVersion).not.toBe(read.metadata?.resourceVersion);
    const patched = await c.patch(resources.configMaps, { namespace: "shop", name: "a" }, { type: "merge", body: { data: { more: "x" } } });
    expect(patched.data).toEqual({ greeting: "hi", more: "x" });
    expect(await c.delete(resources.configMaps, { namespace: "shop", name: "a" })).toEqual({ kind: "gone" });
    await expect(c.get(resources.configMaps, { namespace: "shop", name: "a" })).rejects.toSatisfy(isNotFound);
  });

  each("refusals are told apart", async (t) => {
    const c = createClient(t);
    const made = await c.create(resources.pods, pod("a"));
    await expect(c.create(resources.pods, pod("a"))).rejects.toSatisfy(isAlreadyExists);
    const labelled = { ...made, metadata: { ...made.metadata, labels: { a: "b" } } };
    await c.update(resources.pods, labelled);
    await expect(c.update(resources.pods, { ...labelled, metadata: { ...labelled.metadata, labels: { a: "c" } } })).rejects.toSatisfy(
      isConflict,
    );
    await expect(c.delete(resources.pods, { namespace: "shop", name: "zzz" })).rejects.toSatisfy(isNotFound);
  });

  each("a list of several pages is one list", async (t) => {
    const c = createClient(t);
    for (let i = 0; i < 7; i++) await c.create(resources.pods, pod(`p${i}`, { app: i % 2 === 0 ? "even" : "odd" }));
    const all = await c.list(resources.pods, { namespace: "shop", pageSize: 3 });
    expect(all.items.map((p) => p.metadata?.name)).toEqual(["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    const odd = await c.list(resources.pods, { labelSelector: "app=odd" });
    expect(odd.items.map((p) => p.metadata?.name)).toEqual(["p1", "p3", "p5"]);
  });

  each("status and binding are subresources", async (t) => {
    const c = createClient(t);
    await c.create(resources.pods, pod("a"));
    const target = { apiVersion: "v1", kind: "Node", name: "n1" };
    const body = { apiVersion: "v1", kind: "Binding", metadata: { name: "a" }, target };
    await c.subresource(resources.pods, { namespace: "shop", name: "a" }, "binding", { method: "POST", body });
    const bound = await c.get(resources.pods, { namespace: "shop", name: "a" });
    expect(bound.spec?.nodeName).toBe("n1");
    const running = await c.updateStatus(resources.pods, { ...bound, status: { phase: "Running" } });
    expect(running.status?.phase).toBe("Running");
  });

  each("a reflector sees what is there, then every change, in order", async (t) => {
    const c = createClient(t);
    await c.create(resources.pods, pod("a"));
    const seen: string[] = [];
    const three = Promise.withResolvers<void>();
    const sink: Sink<Pod> = {
      replace: (items) => void seen.push(`replace ${items.map((p) => p.metadata?.name).join(",")}`),
      apply(e: Change<Pod>) {
        seen.push(`${e.type} ${e.key}`);
        if (seen.length === 4) three.resolve();
      },
      bookmark: () => undefined,
    };
    const running = startReflector(t, resources.pods, (o) => o as Pod, sink);
    try {
      await running.ready;
      await c.create(resources.pods, pod("b"));
      await c.patch(resources.pods, { namespace: "shop", name: "a" }, { type: "merge", body: { metadata: { labels: { x: "y" } } } });
      await c.delete(resources.pods, { namespace: "shop", name: "a" }, { gracePeriodSeconds: 0 });
      await three.promise;
      expect(seen).toEqual(["replace a", "put shop/b", "put shop/a", "delete shop/a"]);
    } finally {
      await running.close();
    }
  });

  each("an aborted request rejects with the signal's reason", async (t) => {
    const { rev } = await createClient(t).list(resources.pods);
    const stop = new AbortController();
    const reason = new Error("enough");
    const response = await t.request({ method: "GET", path: `/api/v1/pods?watch=true&resourceVersion=${rev}` }, stop.signal);
    setImmediate(() => stop.abort(reason));
    await expect(
      (async () => {
        for await (const _ of response.body);
      })(),
    ).rejects.toThrow("enough");
    await expect(t.request({ method: "GET", path: "/api/v1/pods" }, stop.signal)).rejects.toThrow("enough");
  });
}
