import { expect, test } from "vitest";
import type { Node } from "../../../src/api/types/core-v1.generated.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { missingPodRanges } from "../../../src/daemon/pod-ranges.ts";

const node = (name: string, ...podCIDRs: readonly string[]): Node => {
  const [podCIDR] = podCIDRs;
  return { metadata: { name }, spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs } };
};
const both = ["10.244.0.0/16", "fd44::/48"];

test.each([
  {
    name: "as begun",
    nodes: [node("a", "10.244.0.0/24", "fd44::/64"), node("b", "10.244.1.0/24", "fd44:0:0:1::/64")],
    ranges: both,
    missing: [],
  },
  { name: "new nodes", nodes: [node("a")], ranges: both, missing: [] },
  {
    name: "a second family later",
    nodes: [node("a", "10.244.0.0/24"), node("b", "10.244.1.0/24")],
    ranges: both,
    missing: [/^no pod of a, b gets an address of --cluster-cidr fd44::\/48: .* kubectl delete node a b and start again/],
  },
  {
    name: "one of the nodes is new",
    nodes: [node("a", "10.244.0.0/24"), node("b", "10.244.1.0/24", "fd44::/64")],
    ranges: both,
    missing: [/^no pod of a gets /],
  },
  { name: "one family fewer", nodes: [node("a", "10.244.0.0/24", "fd44::/64")], ranges: ["10.244.0.0/16"], missing: [] },
  {
    name: "another range",
    nodes: [node("a", "10.244.0.0/24")],
    ranges: ["10.99.0.0/16"],
    missing: [/^no pod of a gets an address of --cluster-cidr 10\.99\.0\.0\/16: /],
  },
  {
    name: "podCIDR alone",
    nodes: [{ metadata: { name: "a" }, spec: { podCIDR: "10.244.0.0/24" } }],
    ranges: both,
    missing: [/fd44::\/48/],
  },
])("what a start says of nodes from an earlier one: $name", ({ nodes, ranges, missing }) => {
  expect(
    missingPodRanges(
      nodes,
      ranges.flatMap((text) => parseCidr(text) ?? []),
    ),
  ).toEqual(missing.map((m) => expect.stringMatching(m)));
});
