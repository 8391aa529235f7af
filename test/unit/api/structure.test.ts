import { expect, test } from "vitest";
import { resources } from "../../../src/api/scheme.ts";
import { checkStructure } from "../../../src/api/structure.ts";
import { validateCreate } from "../../../src/api/validate/validate-object.ts";

const metadata = { name: "a", namespace: "b" };

test.each([
  { kind: "Secret", given: { data: { k: null } }, want: { data: { k: "" } } },
  { kind: "ConfigMap", given: { binaryData: { k: null }, data: { t: null } }, want: { binaryData: { k: "" }, data: { t: "" } } },
  { kind: "Service", given: { spec: { externalIPs: [null] } }, want: { spec: { externalIPs: [""] } } },
])("a null inside a map or a list of a $kind is the empty value, and validation can judge it", ({ kind, given, want }) => {
  const resource = resources.find((r) => r.kind === kind);
  if (resource === undefined) throw new Error(`no ${kind}`);
  const { object, errors } = checkStructure(resource, { metadata, ...given });
  expect(errors).toEqual([]);
  expect(object).toMatchObject(want);
  expect(() => validateCreate(resource, object)).not.toThrow();
});
