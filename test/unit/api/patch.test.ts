import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../../src/api/json-value.ts";
import { applyJsonPatch } from "../../../src/api/patch/json-patch.ts";
import { applyMergePatch } from "../../../src/api/patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../../../src/api/patch/strategic-merge-patch.ts";
import { isApiError } from "../../../src/api/status-error.ts";

function codeOf(run: () => unknown): number {
  try {
    run();
  } catch (error) {
    if (isApiError(error)) return error.code;
    throw error;
  }
  return 0;
}

describe("merge patch (RFC 7396)", () => {
  test.each<{ name: string; object: JsonObject; patch: unknown; want: JsonObject }>([
    { name: "replaces", object: { a: "b" }, patch: { a: "c" }, want: { a: "c" } },
    { name: "adds", object: { a: "b" }, patch: { b: "c" }, want: { a: "b", b: "c" } },
    { name: "removes", object: { a: "b", b: "c" }, patch: { a: null }, want: { b: "c" } },
    { name: "removes what is not there", object: { a: "b" }, patch: { z: null }, want: { a: "b" } },
    { name: "replaces a list whole", object: { a: ["b"] }, patch: { a: ["c", "d"] }, want: { a: ["c", "d"] } },
    { name: "merges objects", object: { a: { b: "c", d: 1 } }, patch: { a: { b: "d", e: null } }, want: { a: { b: "d", d: 1 } } },
    { name: "replaces a list by an object, without its nulls", object: { a: [1] }, patch: { a: { b: null, c: 1 } }, want: { a: { c: 1 } } },
    { name: "keeps nulls inside lists", object: {}, patch: { a: [null] }, want: { a: [null] } },
    {
      name: "takes __proto__ for a name",
      object: {},
      patch: JSON.parse('{"__proto__":{"a":1}}'),
      want: JSON.parse('{"__proto__":{"a":1}}') as JsonObject,
    },
  ])("$name", ({ object, patch, want }) => {
    const before = structuredClone(object);
    const merged = applyMergePatch(object, patch);
    expect(JSON.stringify(merged)).toBe(JSON.stringify(want));
    expect(object).toEqual(before);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  });

  test.each([[], "x", 1, null])("a patch that is no object is refused: %j", (patch) => {
    expect(codeOf(() => applyMergePatch({}, patch))).toBe(400);
  });
});

describe("JSON patch (RFC 6902)", () => {
  const object = { a: { b: [1, 2, { c: 3 }], "x/y": 1, "m~n": 2 }, s: "t" };
  test.each<{ name: string; patch: readonly unknown[]; want?: unknown; code?: number }>([
    {
      name: "adds before an index",
      patch: [{ op: "add", path: "/a/b/0", value: 9 }],
      want: { ...object, a: { ...object.a, b: [9, 1, 2, { c: 3 }] } },
    },
    {
      name: "adds at the end",
      patch: [{ op: "add", path: "/a/b/-", value: 9 }],
      want: { ...object, a: { ...object.a, b: [1, 2, { c: 3 }, 9] } },
    },
    { name: "adds nothing past the end", patch: [{ op: "add", path: "/a/b/4", value: 9 }], code: 422 },
    { name: "adds below nothing not at all", patch: [{ op: "add", path: "/q/r", value: 1 }], code: 422 },
    { name: "removes", patch: [{ op: "remove", path: "/a" }], want: { s: "t" } },
    { name: "removes nothing that is not there", patch: [{ op: "remove", path: "/zz" }], code: 422 },
    {
      name: "replaces deep inside",
      patch: [{ op: "replace", path: "/a/b/2/c", value: 4 }],
      want: { ...object, a: { ...object.a, b: [1, 2, { c: 4 }] } },
    },
    { name: "sets by replace, as Kubernetes does", patch: [{ op: "replace", path: "/n", value: 4 }], want: { ...object, n: 4 } },
    { name: "moves", patch: [{ op: "move", from: "/a", path: "/s" }], want: { s: object.a } },
    { name: "copies", patch: [{ op: "copy", from: "/s", path: "/t" }], want: { ...object, t: "t" } },
    {
      name: "reads ~1 and ~0",
      patch: [
        { op: "test", path: "/a/x~1y", value: 1 },
        { op: "test", path: "/a/m~0n", value: 2 },
      ],
      want: object,
    },
    {
      name: "all or nothing",
      patch: [
        { op: "remove", path: "/s" },
        { op: "test", path: "/a/x~1y", value: 2 },
      ],
      code: 422,
    },
    { name: "knows no other operation", patch: [{ op: "merge", path: "/s" }], code: 400 },
    { name: "needs a value to add", patch: [{ op: "add", path: "/s" }], code: 400 },
    { name: "must leave an object", patch: [{ op: "replace", path: "", value: 1 }], code: 422 },
    { name: "has a limit", patch: new Array(10_001).fill({ op: "test", path: "/s", value: "t" }), code: 413 },
    {
      name: "may not multiply an object",
      patch: [
        { op: "add", path: "/big", value: "x".repeat(2_000_000) },
        { op: "copy", from: "/big", path: "/b1" },
        { op: "copy", from: "/big", path: "/b2" },
      ],
      code: 413,
    },
  ])("$name", ({ patch, want, code = 0 }) => {
    const before = structuredClone(object);
    expect(codeOf(() => applyJsonPatch(object, patch))).toBe(code);
    if (want !== undefined) expect(applyJsonPatch(object, patch)).toEqual(want);
    expect(object).toEqual(before);
  });
});

describe("strategic merge patch", () => {
  const type = "io.k8s.api.core.v1.Pod";
  const pod = {
    spec: {
      containers: [
        { name: "a", image: "1" },
        { name: "b", image: "2" },
      ],
    },
  };

  test("merges containers by name and keeps the others", () => {
    const patch = { spec: { containers: [{ name: "b", image: "3" }] } };
    expect(applyStrategicMergePatch(type, pod, patch)).toEqual({
      spec: {
        containers: [
          { name: "a", image: "1" },
          { name: "b", image: "3" },
        ],
      },
    });
  });

  test("a replaced list is taken as it is, also where elements share a key", () => {
    const addresses = ["192.0.2.1", "fd00::1"].map((address) => ({ type: "InternalIP", address }));
    const node = { status: { addresses: [{ type: "InternalIP", address: "192.0.2.9" }] } };
    const patch = { status: { addresses: [{ $patch: "replace" }, ...addresses] } };
    expect(applyStrategicMergePatch("io.k8s.api.core.v1.Node", node, patch)).toEqual({ status: { addresses } });
  });

  test.each<{ name: string; patch: unknown; message: string }>([
    {
      name: "no merge key",
      patch: { spec: { containers: [{ image: "3" }] } },
      message: 'map: {"image":"3"} does not contain declared merge key: name',
    },
    {
      name: "unknown directive",
      patch: { spec: { $patch: "shuffle" } },
      message: 'unknown patch type: "shuffle" in map: {"$patch":"shuffle"}',
    },
    {
      name: "an order that leaves one out",
      patch: { spec: { "$setElementOrder/containers": [{ name: "a" }], containers: [{ name: "b" }] } },
      message: "doesn't match $setElementOrder list",
    },
    { name: "no object", patch: [], message: "a strategic merge patch must be a JSON object" },
  ])("refuses: $name", ({ patch, message }) => {
    expect(() => applyStrategicMergePatch(type, pod, patch)).toThrow(message);
    expect(codeOf(() => applyStrategicMergePatch(type, pod, patch))).toBe(400);
  });
});
