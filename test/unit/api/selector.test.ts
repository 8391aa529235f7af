import { describe, expect, test } from "vitest";
import { eventToCore, eventToEventsGroup } from "../../../src/api/event-view.ts";
import { findResource, type Resource } from "../../../src/api/scheme.ts";
import {
  fieldValue,
  labelSelectorOf,
  matchesFields,
  matchesSelector,
  parseFieldSelector,
  parseLabelSelector,
  printLabelSelector,
} from "../../../src/api/selector.ts";

function resource(plural: string, group = ""): Resource {
  const found = findResource(group, "v1", plural);
  if (found === undefined) throw new Error(plural);
  return found;
}

describe("label selectors", () => {
  const labels = { app: "web", tier: "front", n: "5" };
  test.each<{ text: string; matches: boolean; printed?: string }>([
    { text: "", matches: true },
    { text: "app=web", matches: true },
    { text: "app==web", matches: true, printed: "app=web" },
    { text: "app!=web", matches: false },
    { text: "zone!=a", matches: true },
    { text: "app in (api,web)", matches: true },
    { text: "app notin (api, web)", matches: false, printed: "app notin (api,web)" },
    { text: "zone notin (a)", matches: true },
    { text: "app", matches: true },
    { text: "!app", matches: false },
    { text: "! zone", matches: true, printed: "!zone" },
    { text: "tier=front,app in (web)", matches: true, printed: "app in (web),tier=front" },
    { text: "app=", matches: false },
    { text: "app in (,web)", matches: true },
    { text: "n>4", matches: true },
    { text: "n<5", matches: false },
    { text: "app>1", matches: false },
    { text: "example.com/a=b", matches: false },
    { text: "in in (in)", matches: false },
  ])("$text", ({ text, matches, printed = text }) => {
    const selector = parseLabelSelector(text);
    expect(matchesSelector(selector, labels)).toBe(matches);
    expect(printLabelSelector(selector)).toBe(printed);
    expect(parseLabelSelector(printed)).toEqual(selector);
  });

  test.each(["a,", ",a", "a in (b", "a in b", "a b", "=b", "-a=b", "a=-b", "a=b c", "a<x", "a in ((b))", "x//y", "a!b"])(
    "refuses %s",
    (text) => {
      expect(() => parseLabelSelector(text)).toThrow(/found|Invalid value|must be an integer|label/);
    },
  );

  test("of objects: undefined selects nothing, an empty one everything", () => {
    expect(matchesSelector(labelSelectorOf(undefined), labels)).toBe(false);
    expect(matchesSelector(labelSelectorOf({}), {})).toBe(true);
    const both = labelSelectorOf({
      matchLabels: { app: "web" },
      matchExpressions: [{ key: "tier", operator: "In", values: ["front", "back"] }],
    });
    expect(matchesSelector(both, labels)).toBe(true);
    expect(matchesSelector(both, { app: "web" })).toBe(false);
    expect(matchesSelector(labelSelectorOf({ matchExpressions: [{ key: "x", operator: "DoesNotExist" }] }), labels)).toBe(true);
    expect(() => labelSelectorOf({ matchExpressions: [{ key: "x", operator: "Like" }] })).toThrow(
      '"Like" is not a valid label selector operator',
    );
  });

  test("a label named like a property of every object is just not there", () => {
    expect(matchesSelector(parseLabelSelector("constructor"), labels)).toBe(false);
    expect(matchesSelector(parseLabelSelector("!toString"), labels)).toBe(true);
  });
});

describe("field selectors", () => {
  const pod = {
    metadata: { name: "a", namespace: "b" },
    spec: { nodeName: "n" },
    status: { phase: "Running", podIPs: [{ ip: "1.1.1.1" }] },
  };
  test.each<{ text: string; matches: boolean }>([
    { text: "metadata.name=a", matches: true },
    { text: "metadata.name==a,metadata.namespace!=b", matches: false },
    { text: "spec.nodeName=n,status.phase!=Failed", matches: true },
    { text: "spec.hostNetwork=false", matches: true },
    { text: "status.podIPs=1.1.1.1", matches: true },
    { text: "status.podIP=", matches: true },
    { text: "spec.schedulerName=a\\,b", matches: false },
    { text: "", matches: true },
  ])("$text", ({ text, matches }) => {
    expect(matchesFields(resource("pods"), parseFieldSelector(text, resource("pods")), pod)).toBe(matches);
  });

  test("only fields that a kind can be selected by", () => {
    expect(() => parseFieldSelector("spec.nodeName=a", resource("services"))).toThrow("field label not supported: spec.nodeName");
    expect(() => parseFieldSelector("metadata.name", resource("pods"))).toThrow("can't understand 'metadata.name'");
    expect(parseFieldSelector("type=Opaque", resource("secrets"))).toEqual([{ field: "type", equal: true, value: "Opaque" }]);
  });

  test("both views of an event can be selected, each by its own names", () => {
    const event = { apiVersion: "v1", involvedObject: { kind: "Pod", name: "p" }, reportingComponent: "c", message: "m", count: 2 };
    const other = eventToEventsGroup(event);
    expect(other).toEqual({
      apiVersion: "events.k8s.io/v1",
      regarding: { kind: "Pod", name: "p" },
      reportingController: "c",
      note: "m",
      deprecatedCount: 2,
    });
    expect(eventToCore(other)).toEqual(event);
    expect(fieldValue(resource("events"), event, "involvedObject.name")).toBe("p");
    expect(fieldValue(resource("events"), event, "source")).toBe("c");
    expect(fieldValue(resource("events", "events.k8s.io"), other, "regarding.name")).toBe("p");
  });

  test("absent values are empty, booleans are words, counts are numbers", () => {
    expect(fieldValue(resource("nodes"), {}, "spec.unschedulable")).toBe("false");
    expect(fieldValue(resource("replicasets", "apps"), {}, "status.replicas")).toBe("0");
    expect(fieldValue(resource("services"), { spec: { clusterIP: "None" } }, "spec.clusterIP")).toBe("None");
    expect(fieldValue(resource("pods"), "no object", "metadata.name")).toBe("");
  });
});
