import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ProxyPlan } from "../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../rules/plan/service-plan.ts";
import type { Surroundings } from "../../rules/plan/surroundings.ts";
import {
  compileUserspace,
  diffListeners,
  emptyUserspaceProgram,
  type Listener,
  listenersOf,
  printUserspace,
  type UserspaceProgram,
} from "../../rules/userspace/program.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { batchFromEmpty, SnapshotStore, type SnapshotStore as Store } from "../../src/snapshot/snapshot-store.ts";
import { makeService, makeSlice, put } from "../support/rules-objects.ts";
import { nodeIp, secondNodeIp, step, surroundings, take } from "../support/rules-world.ts";
import { runs } from "../support/runs.ts";

const around: fc.Arbitrary<Surroundings> = fc
  .subarray([nodeIp(4), nodeIp(6), secondNodeIp(4), secondNodeIp(6)])
  .map((nodePortIps) => ({ ...surroundings, nodePortIps }));
/** A Service that names a node's address and the number of a node port; 0: it is gone. */
const overlap = fc.tuple(fc.constantFrom<IpFamily>(4, 6), fc.constantFrom(0, 80, 30_000, 30_001));

function takeOverlap(store: Store, [family, port]: readonly [IpFamily, number]): void {
  if (port === 0) {
    store.apply("Service", "test/overlap", undefined, "0");
    return;
  }
  const clusterIP = family === 4 ? "10.96.9.9" : "fd96::9:9";
  put(store, "Service", makeService("overlap", { clusterIP, clusterIPs: [clusterIP], externalIPs: [nodeIp(family)], ports: [{ port }] }));
  put(store, "EndpointSlice", makeSlice("overlap", [family === 4 ? "10.244.9.9" : "fd44::9:9"]));
}

/** What each socket serves. */
const socketsOf = (listeners: Iterable<Listener>) => new Map([...listeners].map((l) => [l.id, l.frontend.key] as const));
const all = (program: UserspaceProgram) => [...program.frontends.values()].flatMap((f) => [...listenersOf(f, program)]);
const sorted = (sockets: ReadonlyMap<string, string>) => [...sockets].sort(([a], [b]) => (a < b ? -1 : 1));

describe("userspace", () => {
  test("after any changes the sockets are those of a fresh start, and each is asked for by one frontend", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.array(step, { minLength: 1, maxLength: 4 }), around, overlap), { minLength: 1, maxLength: 12 }),
        (bursts) => {
          const store = new SnapshotStore();
          const cursor = store.cursor(() => undefined);
          const plan = new ProxyPlan("n", defaultPlanOptions);
          let program = emptyUserspaceProgram;
          const open = new Map<string, string>();
          for (const [burst, next, also] of bursts) {
            for (const s of burst) take(store, s);
            takeOverlap(store, also);
            const batch = cursor.take();
            if (batch === undefined) continue;
            const { changed } = plan.apply(batch).frontends;
            const before = program;
            program = { ...compileUserspace(changed, program), surroundings: next };
            const difference = diffListeners(before, program, changed.keys());
            for (const id of difference.close) expect(open.delete(id)).toBe(true);
            for (const [id, key] of socketsOf(difference.open)) open.set(id, key);

            const fresh = {
              ...compileUserspace(
                new ProxyPlan("n", defaultPlanOptions).apply(batchFromEmpty(store.current)).frontends.changed,
                emptyUserspaceProgram,
              ),
              surroundings: next,
            };
            expect(sorted(open)).toEqual(sorted(socketsOf(all(fresh))));
            expect(new Set(all(fresh).map((l) => l.id)).size).toBe(all(fresh).length);
            expect(printUserspace(program)).toBe(printUserspace(fresh));
            // what has not changed is not touched
            expect(diffListeners(program, program, [])).toEqual({ close: new Set(), open: [] });
          }
        },
      ),
      runs(100),
    );
  });
});
