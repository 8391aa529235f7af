import { expect, test } from "vitest";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import { refusalOf } from "../../../src/node/admission.ts";

const asks = (requests: Readonly<Record<string, string>>): Pod => ({ spec: { containers: [{ name: "c", resources: { requests } }] } });
const takes = (hostPort: number, more: { readonly hostIP?: string; readonly protocol?: string } = {}): Pod => ({
  spec: { containers: [{ name: "c", ports: [{ containerPort: 80, hostPort, ...more }] }] },
});
const plain: Pod = { spec: { containers: [{ name: "c" }] } };
const allocatable = { cpu: "2", memory: "1Gi", pods: "3" };

test.each([
  { what: "nothing asked", pod: plain, others: [asks({ cpu: "2" })], want: undefined },
  { what: "all that is left", pod: asks({ cpu: "500m" }), others: [asks({ cpu: "1500m" })], want: undefined },
  {
    what: "more cpu than is left",
    pod: asks({ cpu: "501m" }),
    others: [asks({ cpu: "1500m" })],
    want: "OutOfcpu: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
  },
  {
    what: "a resource it has not",
    pod: asks({ "example.com/card": "1" }),
    others: [],
    want: "OutOfexample.com/card: Node didn't have enough resource: example.com/card, requested: 1, used: 0, capacity: 0",
  },
  {
    what: "one pod too many",
    pod: plain,
    others: [plain, plain, plain],
    want: "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
  },
  { what: "a port that is taken", pod: takes(80), others: [takes(80)], want: "NodePorts: Predicate NodePorts failed" },
  {
    what: "the same on all addresses",
    pod: takes(80, { hostIP: "10.0.0.1" }),
    others: [takes(80)],
    want: "NodePorts: Predicate NodePorts failed",
  },
  { what: "another address", pod: takes(80, { hostIP: "10.0.0.1" }), others: [takes(80, { hostIP: "10.0.0.2" })], want: undefined },
  { what: "another protocol", pod: takes(80), others: [takes(80, { protocol: "UDP" })], want: undefined },
  { what: "another port", pod: takes(80), others: [takes(81)], want: undefined },
])("$what", ({ pod, others, want }) => {
  const refusal = refusalOf(pod, others, allocatable);
  expect(refusal === undefined ? undefined : `${refusal.reason}: ${refusal.message}`).toBe(want);
});
