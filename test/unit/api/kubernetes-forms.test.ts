import { expect, test } from "vitest";
import { defaultObject } from "../../../src/api/defaults/default-object.ts";
import type { JsonObject } from "../../../src/api/json-value.ts";
import { applyStrategicMergePatch } from "../../../src/api/patch/strategic-merge-patch.ts";
import { decodeProtobuf, encodeProtobuf } from "../../../src/api/protobuf.ts";
import { canonicalQuantity } from "../../../src/api/quantity.ts";
import { resourceOfKind } from "../../../src/api/scheme.ts";
import { checkStructure, checkType, parseJsonStrict, strictError } from "../../../src/api/structure.ts";
import { tableOf } from "../../../src/api/table/table-of.ts";
import { typeOfKind } from "../../../src/api/type-table.ts";
import type { Scale } from "../../../src/api/types/autoscaling-v1.generated.ts";
import recorded from "./kubernetes-forms.generated.json" with { type: "json" };

/** What Kubernetes' own packages (v1.36.2) make of the same input: bytes, merged objects, decoding errors, rows, quantities. */
interface Forms {
  readonly now: number;
  readonly wire: readonly { readonly object: JsonObject; readonly bytes: string }[];
  readonly mergeBases: readonly JsonObject[];
  readonly merges: readonly (readonly [base: number, patch: unknown, merged: JsonObject | null])[];
  readonly strict: readonly (readonly [text: string, error: string])[];
  readonly tables: readonly { readonly objects: readonly JsonObject[]; readonly columns: unknown; readonly rows: unknown }[];
  readonly quantities: readonly (readonly [text: string, canonical: string | null])[];
}
const forms = recorded as unknown as Forms;

function resourceOf(object: JsonObject) {
  const resource = resourceOfKind(String(object["apiVersion"]), String(object["kind"]));
  if (resource === undefined) throw new Error("unknown kind");
  return resource;
}

test("protobuf of every kind is read as JSON would be, and written byte for byte as Go writes it", () => {
  expect(forms.wire.length).toBeGreaterThan(30);
  for (const { object, bytes } of forms.wire) {
    const decoded = decodeProtobuf(Buffer.from(bytes, "base64"));
    const head = { apiVersion: object["apiVersion"], kind: object["kind"] };
    const type = typeOfKind(String(head.apiVersion), String(head.kind)) ?? "";
    const checked = checkType(type, decoded, head);
    expect(checked.errors).toEqual([]);
    expect(checked.object).toEqual(object);
    expect(Buffer.from(encodeProtobuf(object) ?? []).toString("base64")).toBe(bytes);
  }
});

test("a list is read and written with its items", () => {
  const items = forms.wire.filter(({ object }) => object["kind"] === "Service").map(({ object }) => object);
  const list = { apiVersion: "v1", kind: "ServiceList", metadata: { resourceVersion: "7" }, items };
  const decoded = decodeProtobuf(encodeProtobuf(list) ?? new Uint8Array());
  expect(decoded["kind"]).toBe("ServiceList");
  expect(decoded["metadata"]).toMatchObject({ resourceVersion: "7" });
  expect(decoded["items"]).toHaveLength(items.length);
});

test("a Scale, as kubectl scale sends it", () => {
  const scale: Scale = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "web" }, spec: { replicas: 3 } };
  expect(decodeProtobuf(encodeProtobuf({ ...scale }) ?? new Uint8Array())).toMatchObject(scale);
});

test("strategic merge patches", () => {
  expect(forms.merges.length).toBeGreaterThan(50);
  for (const [base, patch, merged] of forms.merges) {
    const object = forms.mergeBases[base] ?? {};
    const before = structuredClone(object);
    const type = resourceOf(object).type;
    // Where Kubernetes stumbles over a null beside an order, the null does what it says.
    const stumbles = JSON.stringify(patch).includes('"containers":null');
    if (merged !== null) expect({ patch, merged: applyStrategicMergePatch(type, object, patch) }).toEqual({ patch, merged });
    else if (!stumbles) expect(() => applyStrategicMergePatch(type, object, patch), JSON.stringify(patch)).toThrow();
    expect(object).toEqual(before);
  }
});

test("decoding errors and unknown or repeated fields, in the words of Kubernetes", () => {
  for (const [text, want] of forms.strict) {
    const { value, duplicates } = parseJsonStrict(text);
    const { errors, unknown } = checkStructure(resourceOf(value as JsonObject), value);
    const passedOver = [...duplicates, ...unknown];
    const told = errors[0] ?? (passedOver.length === 0 ? "<nil>" : strictError(passedOver));
    const sorted = (line: string): string => line.split(/: |, /).sort().join();
    expect({ text, told: sorted(told) }).toEqual({ text, told: sorted(want) });
  }
});

test("the rows of kubectl get", () => {
  expect(forms.tables.length).toBeGreaterThan(40);
  for (const { objects, columns, rows } of forms.tables) {
    const resource = resourceOf(objects[0] ?? {});
    if (resource.kind === "IPAddress") continue; // Kubernetes declares no column for the age it gives
    const table = tableOf(
      resource,
      objects.map((o) => defaultObject(resource, checkStructure(resource, o).object)),
      forms.now,
      { includeObject: "None" },
    );
    expect(table.columnDefinitions?.map((c) => [c.name, c.type, c.format, c.priority])).toEqual(columns);
    expect(table.rows?.map((row) => row.cells)).toEqual(rows);
  }
});

test("quantities are written back in canonical form", () => {
  for (const [text, canonical] of forms.quantities) expect([text, canonicalQuantity(text.trim()) ?? null]).toEqual([text, canonical]);
});
