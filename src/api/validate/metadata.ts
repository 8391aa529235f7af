import { type FieldError, forbidden, invalid, required, tooLong } from "../field-error.ts";
import { semanticEqual } from "../json-value.ts";
import type { LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference } from "../types/meta-v1.generated.ts";
import { dns1123Label, labelValue, qualifiedName, type TextCheck } from "./names.ts";

const maxAnnotationBytes = 256 * 1024;
const fieldImmutable = "field is immutable";

/** What a name may be, and whether the object must live in a namespace. */
export interface MetadataRules {
  readonly name: TextCheck;
  readonly namespaced: boolean;
}

/** The metadata of a new object, its generated name already in place. */
export function validateMetadata(metadata: ObjectMeta, rules: MetadataRules): FieldError[] {
  const errors: FieldError[] = [];
  const { name = "", generateName = "", namespace = "" } = metadata;
  // A generated name gets five characters more, so a dash at the end is fine.
  if (generateName !== "") {
    const tested = generateName.endsWith("-") ? `${generateName.slice(0, -1)}a` : generateName;
    errors.push(...rules.name(tested).map((why) => invalid("metadata.generateName", generateName, why)));
  }
  if (name === "") errors.push(required("metadata.name", "name or generateName is required"));
  else errors.push(...rules.name(name).map((why) => invalid("metadata.name", name, why)));
  if (!rules.namespaced) {
    if (namespace !== "") errors.push(forbidden("metadata.namespace", "not allowed on this type"));
  } else if (namespace === "") errors.push(required("metadata.namespace"));
  else errors.push(...dns1123Label(namespace).map((why) => invalid("metadata.namespace", namespace, why)));
  if ((metadata.generation ?? 0) < 0)
    errors.push(invalid("metadata.generation", metadata.generation, "must be greater than or equal to 0"));
  errors.push(...validateLabels(metadata.labels, "metadata.labels"));
  errors.push(...validateAnnotations(metadata.annotations, "metadata.annotations"));
  errors.push(...validateOwners(metadata.ownerReferences ?? [], "metadata.ownerReferences"));
  errors.push(...validateFinalizers(metadata.finalizers ?? [], "metadata.finalizers"));
  return errors;
}

/** What no update may change, and that what it may change is right. */
export function validateMetadataUpdate(metadata: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp !== undefined) {
    const added = (metadata.finalizers ?? []).filter((f) => old.finalizers?.includes(f) !== true).sort();
    if (added.length > 0) {
      const list = `[]string{${added.map((f) => JSON.stringify(f)).join(", ")}}`;
      errors.push(
        forbidden("metadata.finalizers", `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`),
      );
    }
  }
  if ((metadata.resourceVersion ?? "") === "") errors.push(invalid("metadata.resourceVersion", "", "must be specified for an update"));
  if ((metadata.generation ?? 0) < (old.generation ?? 0))
    errors.push(invalid("metadata.generation", metadata.generation ?? 0, "must not be decremented"));
  errors.push(...immutable("metadata.name", metadata.name ?? "", old.name ?? ""));
  errors.push(...immutable("metadata.namespace", metadata.namespace ?? "", old.namespace ?? ""));
  errors.push(...immutable("metadata.uid", metadata.uid ?? "", old.uid ?? ""));
  errors.push(...immutable("metadata.creationTimestamp", metadata.creationTimestamp, old.creationTimestamp));
  errors.push(...immutable("metadata.deletionTimestamp", metadata.deletionTimestamp, old.deletionTimestamp));
  errors.push(...immutable("metadata.deletionGracePeriodSeconds", metadata.deletionGracePeriodSeconds, old.deletionGracePeriodSeconds));
  errors.push(...validateLabels(metadata.labels, "metadata.labels"));
  errors.push(...validateAnnotations(metadata.annotations, "metadata.annotations"));
  errors.push(...validateOwners(metadata.ownerReferences ?? [], "metadata.ownerReferences"));
  errors.push(...validateFinalizers(metadata.finalizers ?? [], "metadata.finalizers"));
  return errors;
}

/** One error unless both are equal as Kubernetes counts it. */
export function immutable(field: string, value: unknown, old: unknown, detail = fieldImmutable): readonly FieldError[] {
  return semanticEqual(value, old) ? [] : [invalid(field, value, detail)];
}

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, field: string): readonly FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...qualifiedName(key).map((why) => invalid(field, key, why)),
    ...labelValue(value).map((why) => invalid(field, value, why)),
  ]);
}

export function validateAnnotations(annotations: Readonly<Record<string, string>> | undefined, field: string): readonly FieldError[] {
  const entries = Object.entries(annotations ?? {});
  const bytes = entries.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
  return [
    ...entries.flatMap(([key]) => qualifiedName(key.toLowerCase()).map((why) => invalid(field, key, why))),
    ...(bytes > maxAnnotationBytes ? [tooLong(field, maxAnnotationBytes)] : []),
  ];
}

export function validateLabelSelector(selector: LabelSelector | undefined, field: string): readonly FieldError[] {
  if (selector === undefined) return [];
  const errors: FieldError[] = [...validateLabels(selector.matchLabels, `${field}.matchLabels`)];
  (selector.matchExpressions ?? []).forEach((requirement, i) => {
    errors.push(...validateRequirement(requirement, `${field}.matchExpressions[${i}]`, labelOperators));
  });
  return errors;
}

const labelOperators: readonly string[] = ["In", "NotIn", "Exists", "DoesNotExist"];

/** A requirement of a selector that knows these operators, of those of labels and nodes. */
export function validateRequirement(
  { key, operator, values = [] }: LabelSelectorRequirement,
  at: string,
  operators: readonly string[],
): readonly FieldError[] {
  const errors: FieldError[] = [];
  switch (operators.includes(operator) ? operator : undefined) {
    case "In":
    case "NotIn":
      if (values.length === 0) errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case "Exists":
    case "DoesNotExist":
      if (values.length > 0) errors.push(forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      break;
    case "Gt":
    case "Lt":
      if (values.length !== 1) errors.push(required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default:
      errors.push(invalid(`${at}.operator`, operator, "not a valid selector operator"));
  }
  errors.push(...qualifiedName(key).map((why) => invalid(`${at}.key`, key, why)));
  return [...errors, ...values.flatMap((value, i) => labelValue(value).map((why) => invalid(`${at}.values[${i}]`, value, why)))];
}

function validateOwners(owners: readonly OwnerReference[], field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  let controller: string | undefined;
  for (const owner of owners) {
    const version = owner.apiVersion.split("/").at(-1) ?? "";
    if (version === "") errors.push(invalid(`${field}.apiVersion`, owner.apiVersion, "version must not be empty"));
    if (owner.kind === "") errors.push(invalid(`${field}.kind`, owner.kind, "must not be empty"));
    if (owner.name === "") errors.push(invalid(`${field}.name`, owner.name, "must not be empty"));
    if (owner.uid === "") errors.push(invalid(`${field}.uid`, owner.uid, "must not be empty"));
    if (owner.apiVersion === "v1" && owner.kind === "Event")
      errors.push(invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner"));
    if (owner.controller !== true) continue;
    const name = `${owner.kind}/${owner.name}`;
    if (controller === undefined) controller = name;
    else {
      const why = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`;
      errors.push(invalid(field, owners, why));
    }
  }
  return errors;
}

const standardFinalizers = new Set(["kubernetes", "orphan", "foregroundDeletion"]);

function validateFinalizers(finalizers: readonly string[], field: string): readonly FieldError[] {
  const errors = finalizers.flatMap((name) => qualifiedName(name).map((why) => invalid(field, name, why)));
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    errors.push(invalid(field, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"));
  }
  finalizers.forEach((name, i) => {
    if (name.includes("/") || standardFinalizers.has(name)) return;
    errors.push(invalid(`${field}[${i}]`, name, "name is neither a standard finalizer name nor is it fully qualified"));
  });
  return errors;
}
