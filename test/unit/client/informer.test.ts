import fc from "fast-check";
import { expect, test } from "vitest";
import type { ConfigMap } from "../../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { startInformer } from "../../../src/client/informer.ts";
import { resources } from "../../../src/client/resources.ts";
import type { ApiRequest, ApiResponse, Transport } from "../../../src/client/transport.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi } from "../../support/memory-api.ts";
import { settled } from "../../support/memory-kubelet.ts";

const of = resources.configMaps;
const object = (name: string, labels: Record<string, string> = {}): ConfigMap => ({ metadata: { namespace: "a", name, labels } });
const byTeam = { team: (o: ConfigMap) => (o.metadata?.labels?.["team"] === undefined ? [] : [o.metadata.labels["team"]]) };
const names = (objects: Iterable<ConfigMap>) => [...objects].map((o) => o.metadata?.name ?? "").sort();

test("a view with indexes that follows, and tells what changed", async () => {
  const api = new MemoryApi();
  const client = createClient(api);
  const first = await client.create(of, object("x", { team: "red" }));
  const view = startInformer(api, of, { indexers: byTeam });
  await view.ready;
  const told: string[] = [];
  view.onChange((c) => told.push(`${c.key} ${c.before?.metadata?.labels?.["team"]} ${c.after?.metadata?.labels?.["team"]}`));
  expect(names(view.byIndex("team", "red"))).toEqual(["x"]);
  await client.update(of, { ...first, metadata: { ...first.metadata, labels: { team: "blue" } } });
  await client.create(of, object("y", { team: "blue" }));
  await settled(() => view.count("team", "blue") === 2);
  expect(view.byIndex("team", "red")).toEqual([]);
  await client.delete(of, { namespace: "a", name: "x" });
  await settled(() => view.size === 1);
  expect(told).toEqual(["a/x red blue", "a/y undefined blue", "a/x blue undefined"]);
  expect(() => view.byIndex("none", "")).toThrow("no index none");
  await view.close();
});

test("managedFields are not kept", async () => {
  const api = new MemoryApi();
  await createClient(api).create(of, { metadata: { ...object("x").metadata, managedFields: [{ manager: "m" }] } });
  const view = startInformer(api, of);
  await view.ready;
  expect(view.get("a/x")?.metadata?.managedFields).toBeUndefined();
  await view.close();
});

test("what was just written is seen at once, and told once", async () => {
  const api = new MemoryApi();
  const client = createClient(api);
  const view = startInformer(api, of);
  await view.ready;
  const told: string[] = [];
  view.onChange((c) => told.push(`${c.key} ${c.after?.metadata?.resourceVersion}`));
  const made = await client.create(of, object("x"));
  view.assume(made);
  expect(view.get("a/x")).toEqual(made);
  await client.create(of, object("y"));
  await settled(() => view.size === 2);
  expect(told).toEqual(["a/x 101", "a/y 102"]);
  // Long passed by the stream: the old state must not come back.
  const changed = await client.update(of, { ...made, data: { a: "b" } });
  await settled(() => view.get("a/x")?.data !== undefined);
  view.assume(made);
  expect(view.get("a/x")?.metadata?.resourceVersion).toBe(changed.metadata?.resourceVersion);
  await view.close();
});

test("an object that is gone by our own delete does not come back by an older event", async () => {
  const stream = new Stream();
  const view = startInformer(stream, of);
  const at = (rev: string, uid = "u"): ConfigMap => ({ metadata: { namespace: "a", name: "x", uid, resourceVersion: rev } });
  stream.send("ADDED", at("5"));
  stream.send("BOOKMARK", { metadata: { resourceVersion: "6", annotations: { "k8s.io/initial-events-end": "true" } } });
  await view.ready;
  const told: string[] = [];
  view.onChange((c) => told.push(`${c.after?.metadata?.uid ?? "gone"} ${c.after?.metadata?.resourceVersion ?? ""}`));
  view.assumeGone(at("5"));
  stream.send("MODIFIED", at("7"));
  stream.send("DELETED", at("8"));
  stream.send("ADDED", at("9", "other"));
  await settled(() => view.get("a/x")?.metadata?.uid === "other");
  // Made anew by us while the stream still brings the end of the one before.
  view.assumeGone(at("9", "other"));
  view.assume(at("11", "third"));
  stream.send("DELETED", at("10", "other"));
  stream.send("BOOKMARK", { metadata: { resourceVersion: "10" } });
  await settled(() => stream.sent === stream.read);
  expect(view.get("a/x")?.metadata?.uid).toBe("third");
  stream.send("ADDED", at("11", "third"));
  stream.send("MODIFIED", at("12", "third"));
  await settled(() => view.get("a/x")?.metadata?.resourceVersion === "12");
  expect(told).toEqual(["gone ", "other 9", "gone ", "third 11", "third 12"]);
  await view.close();
});

/** One watch, whose events the test sends. */
class Stream implements Transport {
  sent = 0;
  read = 0;
  readonly #chunks: string[] = [];
  #wake = (): void => undefined;

  send(type: string, object: unknown): void {
    this.#chunks.push(`${JSON.stringify({ type, object })}\n`);
    this.sent++;
    this.#wake();
  }

  async request(_: ApiRequest, s: AbortSignal): Promise<ApiResponse> {
    s.addEventListener("abort", () => this.#wake());
    return { status: 200, headers: {}, body: this.#body(s) };
  }

  async *#body(s: AbortSignal): AsyncGenerator<Uint8Array> {
    for (;;) {
      s.throwIfAborted();
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        yield Buffer.from(chunk);
        this.read++;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

type Step = {
  readonly kind: "create" | "update" | "delete" | "drop" | "compact" | "turn";
  readonly name: string;
  readonly assume: boolean;
};
const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom("create", "update", "delete", "drop", "compact", "turn"),
    name: fc.constantFrom("x", "y", "z"),
    assume: fc.boolean(),
  }),
  { maxLength: 40 },
);

test("whatever happens, the view ends up equal to the collection, index included", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (list) => {
      const api = new MemoryApi();
      const client = createClient(api);
      const clock = new FakeClock();
      const view = startInformer(api, of, { indexers: byTeam, clock, random: () => 0 });
      await view.ready;
      for (const { kind, name, assume } of list) {
        const at = { namespace: "a", name };
        const known = await client.get(of, at).catch(() => undefined);
        if (kind === "create" && known === undefined) {
          const made = await client.create(of, object(name, { team: "red" }));
          if (assume) view.assume(made);
          if (assume) expect(view.get(`a/${name}`)).toBeDefined();
        } else if (kind === "update" && known !== undefined) {
          const team = known.metadata?.labels?.["team"] === "red" ? "blue" : "red";
          const made = await client.update(of, { ...known, metadata: { ...known.metadata, labels: { team } } });
          if (assume) view.assume(made);
        } else if (kind === "delete" && known !== undefined) {
          await client.delete(of, at);
          if (assume) view.assumeGone(known);
        } else if (kind === "drop") api.endWatches();
        else if (kind === "compact") api.compact();
        else if (kind === "turn") await new Promise((resolve) => setImmediate(resolve));
      }
      await clock.advance(60_000);
      const want = (await client.list(of)).items;
      const text = (objects: Iterable<ConfigMap>) => [...objects].map((o) => JSON.stringify(o.metadata)).sort();
      expect(text(view.list())).toEqual(text(want));
      expect(names(view.byIndex("team", "red"))).toEqual(names(want.filter((o) => o.metadata?.labels?.["team"] === "red")));
      await view.close();
    }),
    { numRuns: 60 },
  );
});
