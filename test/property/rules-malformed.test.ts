import fc from "fast-check";
import { expect, test } from "vitest";
import { compileOffline } from "../../rules/index.ts";
import { backends } from "../../rules/model/backend.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { damagedObjects, good, goodSlice } from "../support/damaged-objects.ts";
import { put } from "../support/rules-objects.ts";
import { runs } from "../support/runs.ts";

test.each(backends.map((backend) => ({ backend })))(
  "$backend: whatever an object says, the rules of the others are made",
  ({ backend }) => {
    fc.assert(
      fc.property(damagedObjects, ({ service, slice, node, serviceCidr }) => {
        const store = new SnapshotStore();
        put(store, "Service", good);
        put(store, "EndpointSlice", goodSlice);
        put(store, "Service", service);
        put(store, "EndpointSlice", slice);
        put(store, "Node", node);
        put(store, "ServiceCIDR", serviceCidr);
        const made = compileOffline(store.current, { nodeName: "n", backend });
        const verdict = made.trace({ from: "10.244.0.7", to: "10.96.0.1", port: 80, protocol: "tcp" });
        expect(verdict).toMatchObject({ verdict: "deliver", endpoints: ["10.244.9.9:8080"] });
      }),
      runs(300),
    );
  },
);
