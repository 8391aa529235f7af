import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultObject } from "../../src/api/defaults/default-object.ts";
import { isRecord, type JsonObject, jsonEqual, semanticEqual } from "../../src/api/json-value.ts";
import { applyJsonPatch } from "../../src/api/patch/json-patch.ts";
import { applyMergePatch } from "../../src/api/patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../../src/api/patch/strategic-merge-patch.ts";
import { decodeProtobuf, encodeProtobuf } from "../../src/api/protobuf.ts";
import { canonicalQuantity, compareQuantity } from "../../src/api/quantity.ts";
import { resources } from "../../src/api/scheme.ts";
import { parseLabelSelector, printLabelSelector } from "../../src/api/selector.ts";
import { isApiError } from "../../src/api/status-error.ts";
import { checkStructure, parseJsonStrict } from "../../src/api/structure.ts";
import { tableOf } from "../../src/api/table/table-of.ts";
import { declaredFields, type Field, isStruct, kindOfType } from "../../src/api/type-table.ts";
import { validateCreate, validateUpdate } from "../../src/api/validate/validate-object.ts";
import { runs } from "../support/runs.ts";

const json = fc.jsonValue({ maxDepth: 4 });
const object = fc.dictionary(fc.constantFrom("a", "b", "c", "__proto__", "$patch"), json, { maxKeys: 4 });
const some = runs(100);

/** A value of a type, as JSON brings it: fields there or not, small numbers and texts. */
function valueOfType(type: string, depth: number): fc.Arbitrary<unknown> {
  if (isStruct(type)) return structOf(type, depth + 1);
  switch (type) {
    case "string":
      return fc.constantFrom("", "a", "web", "TCP", "10.0.0.1", "ä");
    case "bool":
      return fc.boolean();
    case "time":
      return fc.constantFrom("2026-01-01T00:00:00Z", "1999-12-31T23:59:59Z");
    case "microTime":
      return fc.constantFrom("2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.123456Z");
    case "quantity":
      return fc.constantFrom("1", "500m", "1Gi");
    case "intOrString":
      return fc.constantFrom<unknown>(0, 80, "http", "25%");
    case "bytes":
      return fc.constantFrom("YQ==", "AAEC");
    case "stringList":
      return fc.constantFrom(["a"], ["a", "b"]);
    case "duration":
      return fc.constant("5s");
    case "raw":
    case "any":
      return fc.constantFrom<unknown>({ a: 1 }, { b: [true] });
    default:
      return fc.integer({ min: type.startsWith("u") ? 0 : -3, max: 70_000 });
  }
}

const structs = new Map<string, fc.Arbitrary<JsonObject>>();

function structOf(type: string, depth: number): fc.Arbitrary<JsonObject> {
  const key = `${type} ${depth}`;
  const known = structs.get(key) ?? makeStruct(type, depth);
  structs.set(key, known);
  return known;
}

function makeStruct(type: string, depth: number): fc.Arbitrary<JsonObject> {
  const shape: Record<string, fc.Arbitrary<unknown>> = {};
  const inlined: fc.Arbitrary<JsonObject>[] = [];
  for (const field of depth > 6 ? [] : declaredFields(type)) {
    if (field.inline) inlined.push(structOf(field.type, depth + 1));
    else if (field.number > 0 || type.startsWith("io.x-k8s.")) shape[field.name] = fieldValue(field, depth);
  }
  const own = fc.record(shape, { requiredKeys: [] });
  return fc.tuple(sparse(own), ...inlined).map((parts) => Object.assign({}, ...parts) as JsonObject);
}

/** Few of the many fields at a time, so that objects stay small. */
function sparse(own: fc.Arbitrary<JsonObject>): fc.Arbitrary<JsonObject> {
  return fc.tuple(own, fc.integer({ min: 0, max: 7 })).map(([all, seed]) => {
    const kept = Object.entries(all).filter((_, i) => (i * 5 + seed) % 7 < 2);
    return Object.fromEntries(kept);
  });
}

function fieldValue(field: Field, depth: number): fc.Arbitrary<unknown> {
  const item = valueOfType(field.type, depth);
  if (field.list) return fc.array(item, { maxLength: 2 });
  return field.map ? fc.dictionary(fc.constantFrom("a", "b/c"), item, { maxKeys: 2 }) : item;
}

const anyObject = fc
  .constantFrom(...resources)
  .chain((resource) => fc.tuple(fc.constant(resource), fc.noShrink(structOf(resource.type, 0))));

/** The value with one of the values in it, the `at`-th, replaced. */
function replaced(given: JsonObject, at: number, by: unknown): JsonObject {
  const paths: (readonly string[])[] = [];
  const walk = (value: unknown, path: readonly string[]): void => {
    if (path.length > 0) paths.push(path);
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key]);
  };
  walk(given, []);
  const path = paths[at % Math.max(1, paths.length)] ?? ["spec"];
  const copy = structuredClone(given) as Record<string, unknown>;
  let parent = copy;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  parent[path.at(-1) ?? "spec"] = by;
  return copy as JsonObject;
}

describe("patches", () => {
  test("an empty merge patch changes nothing, a patch applied twice is as applied once", () => {
    fc.assert(
      fc.property(object, object, (target, patch) => {
        expect(applyMergePatch(target, {})).toEqual(target);
        const once = applyMergePatch(target, patch);
        expect(applyMergePatch(once, patch)).toEqual(once);
      }),
      some,
    );
  });

  test("adding and removing gives the object back", () => {
    fc.assert(
      fc.property(object, json, (target, value) => {
        const there = applyJsonPatch(target, [{ op: "add", path: "/fresh", value }]);
        expect(
          applyJsonPatch(there, [
            { op: "test", path: "/fresh", value },
            { op: "remove", path: "/fresh" },
          ]),
        ).toEqual(target);
      }),
      some,
    );
  });

  test("a strategic merge patch of any shape gives an object or an ApiError, and touches neither argument", () => {
    fc.assert(
      fc.property(
        anyObject,
        object,
        fc.constantFrom("spec", "metadata", "status", "endpoints", "subsets"),
        ([resource, target], inner, at) => {
          const patch = { [at]: inner };
          const before = JSON.stringify([target, patch]);
          try {
            expect(isRecord(applyStrategicMergePatch(resource.type, target, patch))).toBe(true);
          } catch (error) {
            expect(isApiError(error)).toBe(true);
          }
          expect(JSON.stringify([target, patch])).toBe(before);
          expect(applyStrategicMergePatch(resource.type, target, {})).toEqual(target);
        },
      ),
      some,
    );
  });
});

describe("objects of every kind", () => {
  test("defaulting twice is defaulting once; checking what was checked finds nothing", () => {
    fc.assert(
      fc.property(anyObject, ([resource, given]) => {
        const checked = checkStructure(resource, given);
        expect(checked.errors).toEqual([]);
        expect(checked.unknown).toEqual([]);
        expect(checkStructure(resource, checked.object).object).toEqual(checked.object);
        const defaulted = defaultObject(resource, checked.object);
        expect(defaultObject(resource, defaulted)).toEqual(defaulted);
      }),
      some,
    );
  });

  test("whatever the content, validation and tables answer", () => {
    fc.assert(
      fc.property(anyObject, ([resource, given]) => {
        const filled = defaultObject(resource, checkStructure(resource, given).object);
        for (const error of validateCreate(resource, filled)) expect(typeof error.field).toBe("string");
        const table = tableOf(resource, [filled], Date.UTC(2026, 1, 1));
        expect(table.rows?.[0]?.cells?.length).toBe(table.columnDefinitions?.length);
      }),
      some,
    );
  });

  test("protobuf gives back what it was given", () => {
    fc.assert(
      fc.property(anyObject, ([resource, given]) => {
        expect(kindOfType(resource.type)).toBe(resource.kind);
        const { object: checked } = checkStructure(resource, given);
        const encoded = encodeProtobuf(checked);
        // A kind that elsewhere is a custom resource has no messages: it is JSON only.
        expect(encoded === undefined).toBe(resource.group === "multicluster.x-k8s.io");
        if (encoded === undefined) return;
        const decoded = decodeProtobuf(encoded);
        // An empty list and none at all are the same in protobuf.
        expect(semanticEqual(checkStructure(resource, decoded).object, checked)).toBe(true);
      }),
      some,
    );
  });
});

describe("foreign input", () => {
  test("any bytes after the magic number are an object or a 400", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const body = Uint8Array.of(0x6b, 0x38, 0x73, 0, ...bytes);
        try {
          expect(isRecord(decodeProtobuf(body))).toBe(true);
        } catch (error) {
          expect(isApiError(error) && error.code === 400).toBe(true);
        }
      }),
      runs(1000),
    );
  });

  test("a body with some bytes changed is an object or a 400", () => {
    fc.assert(
      fc.property(anyObject, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), ([resource, given], changes) => {
        const body = Uint8Array.from(encodeProtobuf(checkStructure(resource, given).object) ?? []);
        for (const [at, byte] of changes) body[4 + (at % Math.max(1, body.length - 4))] = byte;
        try {
          expect(isRecord(decodeProtobuf(body))).toBe(true);
        } catch (error) {
          expect(isApiError(error) && error.code === 400).toBe(true);
        }
      }),
      some,
    );
  });

  test("a body with a value replaced by any other is judged: an object, errors, or a 400", () => {
    fc.assert(
      fc.property(anyObject, fc.nat(), fc.oneof(json, fc.constantFrom(null, 0, "", [null], {})), ([resource, given], at, value) => {
        try {
          const { object: checked, errors } = checkStructure(resource, replaced(given, at, value));
          if (errors.length > 0) return;
          const filled = defaultObject(resource, checked);
          const before = defaultObject(resource, checkStructure(resource, given).object);
          validateCreate(resource, filled);
          validateUpdate(resource, filled, before);
          validateUpdate(resource, before, filled);
          tableOf(resource, [filled], Date.UTC(2026, 1, 1));
        } catch (error) {
          if (!isApiError(error) || error.code !== 400) throw error;
        }
      }),
      runs(500),
    );
  });

  test("strict JSON is JSON, and tells of a key exactly when it stands twice", () => {
    fc.assert(
      fc.property(json, fc.string(), (value, key) => {
        const text = JSON.stringify(value);
        expect(parseJsonStrict(text)).toEqual({ value: JSON.parse(text), duplicates: [] });
        const doubled = `{${JSON.stringify(key)}:${text},"other ${key.length}":1,${JSON.stringify(key)}:2}`;
        expect(parseJsonStrict(doubled).duplicates).toEqual([`duplicate field ${JSON.stringify(key)}`]);
      }),
      some,
    );
  });

  test("depth has an end", () => {
    expect(() => parseJsonStrict("[".repeat(100_000))).toThrow("exceeded max depth");
  });

  test("a label selector that can be read is printed so that it is read the same", () => {
    const word = fc.constantFrom("a", "b", "in", "notin", "x.y/z", "!", "=", "==", "!=", "(", ")", ",", " ", "<", "7");
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (words) => {
        const text = words.join(" ");
        try {
          const selector = parseLabelSelector(text);
          expect(parseLabelSelector(printLabelSelector(selector))).toEqual(selector);
        } catch (error) {
          expect(isApiError(error) && error.code === 400).toBe(true);
        }
      }),
      runs(1000),
    );
  });

  test("a canonical quantity is equal to what was written, and soon stays as it is", () => {
    const number = fc.tuple(
      fc.nat(99_999),
      fc.constantFrom("", ".5", ".25", ".001"),
      fc.constantFrom("", "m", "k", "Ki", "Mi", "e3", "u", "G"),
    );
    fc.assert(
      fc.property(number, ([whole, fraction, suffix]) => {
        const text = `${whole}${fraction}${suffix}`;
        const canonical = canonicalQuantity(text) ?? "";
        expect(compareQuantity(text, canonical)).toBe(0);
        // A binary amount that no power of 1024 divides is written plainly, and read as a decimal one the next time.
        const again = canonicalQuantity(canonical) ?? "";
        expect(canonicalQuantity(again)).toBe(again);
      }),
      some,
    );
  });

  // A pattern that goes back and forth takes seconds for a single one of these, and the test would end by its time limit.
  test("long hostile texts are judged like short ones", () => {
    const parts = ["a", "-", "a-", "a.", "a/", "a:", "__", "a,", "a=b,", "0.", "\\", "['", "*.", "@", "::", " "];
    const texts = parts.flatMap((part) => [`${part.repeat(50_000)}!`, `a${part.repeat(50_000)}`]);
    const pod = (text: string): JsonObject => ({
      metadata: { name: text, namespace: text, labels: { [text]: text }, annotations: { [text]: "" }, finalizers: [text] },
      spec: {
        nodeName: text,
        containers: [
          {
            name: text,
            image: text,
            env: [{ name: text, valueFrom: { fieldRef: { fieldPath: text } } }],
            ports: [{ name: text, containerPort: 1 }],
          },
        ],
        dnsConfig: { searches: [text], nameservers: [text] },
      },
    });
    const pods = resources.find((r) => r.kind === "Pod");
    for (const text of texts) {
      if (pods !== undefined) expect(validateCreate(pods, defaultObject(pods, pod(text))).length).toBeGreaterThan(0);
      try {
        parseLabelSelector(text);
      } catch (error) {
        expect(isApiError(error)).toBe(true);
      }
    }
  });

  test("equality does not mind the order of keys", () => {
    fc.assert(
      fc.property(object, (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        expect(jsonEqual(value, turned)).toBe(true);
        expect(jsonEqual(value, { ...value, more: 1 })).toBe(false);
      }),
      some,
    );
  });
});
