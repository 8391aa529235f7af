import { expect, test } from "vitest";
import { defaultObject } from "../../../src/api/defaults/default-object.ts";
import { causeReason, type FieldError, printFieldErrorBody } from "../../../src/api/field-error.ts";
import { isRecord, type JsonObject } from "../../../src/api/json-value.ts";
import { resourceOfKind } from "../../../src/api/scheme.ts";
import { prepareForCreate, prepareForUpdate } from "../../../src/api/strategy.ts";
import { checkStructure } from "../../../src/api/structure.ts";
import { validateCreate, validateUpdate } from "../../../src/api/validate/validate-object.ts";
import recorded from "./kubernetes-answers.generated.json" with { type: "json" };

/**
 * What kube-apiserver's own packages (v1.36.2) say of objects of every kind: how a good one is stored, and which causes
 * are named when one place in it is changed or taken away.
 */
type Cause = readonly [reason: string, field: string, text: number];
type Mutation = readonly [base: number, path: readonly (string | number)[], value: unknown, causes: readonly Cause[]];
interface Answers {
  readonly texts: readonly string[];
  readonly bases: readonly { readonly object: JsonObject; readonly stored?: JsonObject; readonly causes?: readonly Cause[] }[];
  readonly create: readonly Mutation[];
  readonly update: readonly Mutation[];
  readonly status: readonly (readonly [base: number, status: unknown, before: unknown, causes: readonly Cause[]])[];
}
const answers = recorded as unknown as Answers;
const now = "2026-01-01T00:00:00Z";
const stamp = { uid: "u", resourceVersion: "1", creationTimestamp: now, generation: 1 };

/** Where fairway knowingly answers otherwise: by what is changed, and why. */
const deviations: readonly (readonly [path: RegExp, why: string])[] = [
  [/^spec\.(healthCheckNodePort|externalTrafficPolicy|type)$/, "a health check port is allocated after validation, so it is not required"],
  [/^spec\.parentRef/, "addresses are checked once, where Kubernetes checks them twice"],
];

function resourceOf(object: JsonObject) {
  const resource = resourceOfKind(String(object["apiVersion"]), String(object["kind"]));
  if (resource === undefined) throw new Error("unknown kind");
  return resource;
}

function create(object: JsonObject): { readonly stored: JsonObject; readonly errors: readonly FieldError[] } {
  const resource = resourceOf(object);
  const metadata = isRecord(object["metadata"]) ? object["metadata"] : {};
  const checked = checkStructure(resource, object);
  expect(checked.errors).toEqual([]);
  const namespace = typeof metadata["namespace"] === "string" ? metadata["namespace"] : "";
  const stored = prepareForCreate(resource, defaultObject(resource, checked.object), { now, uid: "u", namespace });
  return { stored, errors: validateCreate(resource, stored) };
}

function update(object: JsonObject, before: JsonObject, subresource = ""): readonly FieldError[] {
  const resource = resourceOf(object);
  const old = defaultObject(resource, checkStructure(resource, before).object);
  const next = prepareForUpdate(resource, defaultObject(resource, checkStructure(resource, object).object), old, subresource);
  return validateUpdate(resource, next, old, { subresource });
}

/** Kubernetes repeats itself where a check runs twice; a message tells it once. */
function told(errors: readonly FieldError[]): readonly string[] {
  const lines = errors.map(
    (e) => `${causeReason(e)} ${e.field}: ${(printFieldErrorBody(e).split("\n")[0] ?? "").replace(/: (?:\[\]|\{\}):/, ": null:")}`,
  );
  return [...new Set(lines)].sort();
}

function wanted(causes: readonly Cause[]): readonly string[] {
  // An empty list or map and an absent one are the same here.
  const lines = causes.map(
    ([reason, field, text]) => `${reason} ${field}: ${(answers.texts[text] ?? "").replace(/: (?:\[\]|\{\}):/, ": null:")}`,
  );
  return [...new Set(lines)].sort();
}

function changed(base: number, path: readonly (string | number)[], value: unknown): JsonObject {
  const object = structuredClone(answers.bases[base]?.object ?? {}) as Record<string, unknown>;
  let node: Record<string | number, unknown> = object;
  for (const key of path.slice(0, -1)) node = node[key] as Record<string | number, unknown>;
  const last = path.at(-1) ?? "";
  if (value !== null) node[last] = value;
  else if (Array.isArray(node)) node.splice(Number(last), 1);
  else delete node[last];
  return object;
}

function stamped(object: JsonObject): JsonObject {
  return { ...object, metadata: { ...(isRecord(object["metadata"]) ? object["metadata"] : {}), ...stamp } };
}

function isDeviation(path: readonly (string | number)[]): boolean {
  return deviations.some(([pattern]) => pattern.test(path.join(".")));
}

test("good objects are stored as Kubernetes stores them", () => {
  for (const { object, stored, causes } of answers.bases) {
    const ours = create(object);
    if (causes === undefined) expect({ errors: told(ours.errors), stored: ours.stored }).toEqual({ errors: [], stored });
    else expect(told(ours.errors)).toEqual(wanted(causes));
  }
});

test("what is wrong with a new object is told in Kubernetes' words", () => {
  const cases = answers.create.filter(([, path]) => !isDeviation(path));
  expect(cases.length).toBeGreaterThan(1000);
  for (const [base, path, value, causes] of cases) {
    const object = changed(base, path, value);
    expect({ kind: object["kind"], path, value, told: told(create(object).errors) }).toEqual({
      kind: object["kind"],
      path,
      value,
      told: wanted(causes),
    });
  }
});

test("what is wrong with a change is told in Kubernetes' words", () => {
  const cases = answers.update.filter(([, path]) => !isDeviation(path));
  expect(cases.length).toBeGreaterThan(450);
  for (const [base, path, value, causes] of cases) {
    const object = changed(base, path, value);
    const errors = told(update(stamped(object), stamped(answers.bases[base]?.object ?? {})));
    expect({ kind: object["kind"], path, value, told: errors }).toEqual({ kind: object["kind"], path, value, told: wanted(causes) });
  }
});

test("what is wrong with a status is told in Kubernetes' words", () => {
  expect(answers.status.length).toBeGreaterThan(200);
  for (const [base, status, before, causes] of answers.status) {
    const object = stamped(answers.bases[base]?.object ?? {});
    const errors = told(update({ ...object, status }, { ...object, status: before }, "status"));
    expect({ kind: object["kind"], status, told: errors }).toEqual({ kind: object["kind"], status, told: wanted(causes) });
  }
});
