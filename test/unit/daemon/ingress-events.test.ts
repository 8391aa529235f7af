import { expect, test } from "vitest";
import { emptyRouteTable, IngressTranslator } from "../../../ingress/index.ts";
import type { Ingress } from "../../../src/api/types/networking-v1.generated.ts";
import type { EventNote } from "../../../src/client/events.ts";
import { recordSyncs } from "../../../src/daemon/ingress-events.ts";
import { recordProblems } from "../../../src/daemon/problem-events.ts";
import { withObject } from "../../../src/snapshot/apply-event.ts";
import { batchFromEmpty, SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { makeService, makeSnapshot } from "../ingress/cluster.ts";

function makeIngress(name: string, o: { readonly service: string; readonly annotations?: Readonly<Record<string, string>> }): Ingress {
  const backend = { service: { name: o.service, port: { number: 80 } } };
  return {
    metadata: { name, namespace: "shop", uid: `u-${name}`, generation: 1, annotations: o.annotations ?? {} },
    spec: { ingressClassName: "fairway", rules: [{ host: `${name}.test`, http: { paths: [{ path: "/", pathType: "Prefix", backend }] } }] },
  };
}

/** A recorder that takes so many at a time, as one does whose API is slow. */
class Recorder {
  readonly notes: EventNote[] = [];
  room = Number.POSITIVE_INFINITY;
  readonly record = (note: EventNote): boolean => {
    if (this.room-- <= 0) return false;
    this.notes.push(note);
    return true;
  };
}

test("a thousand Ingresses with errors: each gets its Event, in its turn, and the rest is served", () => {
  const bad = Array.from({ length: 1000 }, (_, i) =>
    makeIngress(
      `bad-${i}`,
      i % 2 === 0 ? { service: "nobody" } : { service: "web", annotations: { "nginx.ingress.kubernetes.io/proxy-body-size": "much" } },
    ),
  );
  const store = new SnapshotStore();
  const good = Array.from({ length: 10 }, (_, i) => makeIngress(`good-${i}`, { service: "web" }));
  let snapshot = makeSnapshot(makeService("web", ["10.0.0.1:8080"]));
  for (const ingress of [...bad, ...good]) snapshot = withObject(snapshot, "Ingress", `shop/${ingress.metadata?.name}`, ingress);
  store.replace("Ingress", [...bad, ...good]);
  const translator = new IngressTranslator();
  translator.apply(batchFromEmpty(snapshot));
  const recorder = new Recorder();
  const reported = new Set<string>();
  for (let look = 0; look < 4; look++) {
    recorder.room = 300;
    recordProblems(translator.problems, { store, record: recorder.record, reported });
    expect(recorder.notes.length).toBe(Math.min(1000, (look + 1) * 300));
  }
  recordProblems(translator.problems, { store, record: recorder.record, reported });
  const told = new Map(recorder.notes.map((n) => [n.regarding.name, n]));
  expect([recorder.notes.length, told.size]).toEqual([1000, 1000]);
  expect(told.get("bad-0")).toMatchObject({ type: "Warning", reason: "ServiceNotFound", regarding: { uid: "u-bad-0" } });
  expect(told.get("bad-1")).toMatchObject({ type: "Warning", reason: "InvalidAnnotation" });
  const table = emptyRouteTable.with(translator.full());
  const head = { method: "GET", path: "/", query: "", headers: [] };
  for (const { metadata } of [...good, ...bad.filter((_, i) => i % 2 === 1)]) {
    const action = table.match({ ...head, host: `${metadata?.name}.test` })?.route.action;
    expect(action).toMatchObject({ kind: "forward", backends: [{ pool: "shop/web:80" }] });
  }
});

test("an Ingress is told of when it is served, and again in another form; not when somebody told of it before", () => {
  const recorder = new Recorder();
  const synced = new Map<string, number>();
  const problem = { object: { kind: "Ingress", namespace: "shop", name: "a" }, field: "", reason: "ServiceNotFound", message: "" };
  const a = makeIngress("a", { service: "web" });
  const old: Ingress = { ...makeIngress("old", { service: "web" }), status: { loadBalancer: { ingress: [{ ip: "10.0.0.1" }] } } };
  const look = (ingresses: readonly Ingress[]): readonly string[] => {
    recorder.notes.length = 0;
    recordSyncs(ingresses, { record: recorder.record, synced, problems: [problem] });
    return recorder.notes.map((n) => `${n.type} ${n.reason} ${n.regarding.name}: ${n.message}`);
  };
  recorder.room = 0;
  expect(look([a, old])).toEqual([]);
  recorder.room = 10;
  const withAddress: Ingress = { ...a, status: { loadBalancer: { ingress: [{ ip: "10.0.0.1" }] } } };
  const told = "Normal Sync a: one path; one problem, which a Warning tells";
  expect(look([withAddress, old])).toEqual([told]);
  expect(look([a, old])).toEqual([]);
  const changed: Ingress = { ...old, metadata: { ...old.metadata, generation: 2 } };
  expect(look([a, changed])).toEqual(["Normal Sync old: served with one path"]);
  expect(look([changed])).toEqual([]);
  expect(look([a, changed])).toEqual([told]);
});
