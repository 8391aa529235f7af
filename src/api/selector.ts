import { isRecord, type JsonObject, own } from "./json-value.ts";
import type { Resource } from "./scheme.ts";
import { badRequest } from "./status-error.ts";
import type { LabelSelector } from "./types/meta-v1.generated.ts";

/** One condition on labels; all of a selector must hold. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: "=" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";
  readonly values: readonly string[];
}
export type Selector = readonly LabelRequirement[];

/** One condition on a field; `equal` false means `!=`. */
export interface FieldRequirement {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}
export type FieldSelector = readonly FieldRequirement[];

const labelKey = /^(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const labelValue = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;

/** `a=b,c!=d,e in (f,g),h notin (i),j,!k`; empty selects all. Throws an ApiError (400). */
export function parseLabelSelector(text: string): Selector {
  const tokens = tokensOf(text);
  const requirements: LabelRequirement[] = [];
  let i = 0;
  const next = (): string => tokens[i++] ?? "";
  if (tokens.length === 0) return [];
  for (;;) {
    requirements.push(requirement(next, () => tokens[i] ?? "", text));
    const separator = next();
    if (separator === "") break;
    if (separator !== ",") throw unparsable(text, `found '${separator}', expected: ',' or 'end of string'`);
    if (i >= tokens.length) throw unparsable(text, "found '', expected: identifier after ','");
  }
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

function requirement(next: () => string, peek: () => string, text: string): LabelRequirement {
  let key = next();
  const negated = key === "!";
  if (negated) key = next();
  if (key === "" || /^[(),=!<>]/.test(key)) throw unparsable(text, `found '${key}', expected: !, identifier, or 'end of string'`);
  if (!isLabelKey(key)) throw unparsable(text, `key: Invalid value: ${JSON.stringify(key)}: it is not a label key`);
  const follows = peek();
  if (negated) return { key, operator: "!", values: [] };
  if (follows === "" || follows === ",") return { key, operator: "exists", values: [] };
  const operator = next();
  switch (operator) {
    case "=":
    case "==":
      return { key, operator: "=", values: [exactValue(next, peek, text)] };
    case "!=":
      return { key, operator: "!=", values: [exactValue(next, peek, text)] };
    case ">":
    case "<": {
      const value = exactValue(next, peek, text);
      if (!/^-?\d+$/.test(value)) throw unparsable(text, "for 'Gt', 'Lt' operators, the value must be an integer");
      return { key, operator: operator === ">" ? "gt" : "lt", values: [value] };
    }
    case "in":
    case "notin":
      return { key, operator, values: setValues(next, text) };
    default:
      throw unparsable(text, `found '${operator}', expected: in, notin, =, ==, !=, gt, lt`);
  }
}

function exactValue(next: () => string, peek: () => string, text: string): string {
  if (peek() === "" || peek() === ",") return "";
  return checkedValue(next(), text);
}

function setValues(next: () => string, text: string): readonly string[] {
  const open = next();
  if (open !== "(") throw unparsable(text, `found '${open}', expected: '('`);
  const values: string[] = [];
  let expectValue = true;
  for (;;) {
    const token = next();
    if (token === "") throw unparsable(text, "found '', expected: ',', or ')'");
    if (token === ")" || token === ",") {
      if (expectValue) values.push("");
      expectValue = true;
      if (token === ")") break;
    } else {
      if (!expectValue) throw unparsable(text, `found '${token}', expected: ',', or ')'`);
      values.push(checkedValue(token, text));
      expectValue = false;
    }
  }
  return [...new Set(values)].sort();
}

function checkedValue(value: string, text: string): string {
  if (value.length > 63 || !labelValue.test(value))
    throw unparsable(text, `values[0]: Invalid value: ${JSON.stringify(value)}: it is not a label value`);
  return value;
}

function isLabelKey(key: string): boolean {
  const slash = key.lastIndexOf("/");
  return labelKey.test(key) && key.length - slash - 1 <= 63 && slash <= 253;
}

function tokensOf(text: string): readonly string[] {
  const tokens: string[] = [];
  const pattern = /\s+|(==|!=|[=!<>(),])|([^\s=!<>(),]+)/gy;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const token = match[1] ?? match[2];
    if (token !== undefined) tokens.push(token);
  }
  return tokens;
}

function unparsable(text: string, why: string): Error {
  return badRequest(`unable to parse requirement: ${why} (in the label selector ${JSON.stringify(text)})`);
}

/** The canonical text: parseLabelSelector gives the same selector back. */
export function printLabelSelector(selector: Selector): string {
  return selector.map(printRequirement).join(",");
}

function printRequirement({ key, operator, values }: LabelRequirement): string {
  switch (operator) {
    case "exists":
      return key;
    case "!":
      return `!${key}`;
    case "gt":
      return `${key}>${values[0] ?? ""}`;
    case "lt":
      return `${key}<${values[0] ?? ""}`;
    case "=":
    case "!=":
      return `${key}${operator}${values[0] ?? ""}`;
    case "in":
    case "notin":
      return `${key} ${operator} (${values.join(",")})`;
  }
}

/** `notin` also holds where the label is absent, as in Kubernetes. */
export function matchesSelector(selector: Selector, labels: Readonly<Record<string, string>> | undefined): boolean {
  return selector.every((requirement) => matches(requirement, labels));
}

function matches({ key, operator, values }: LabelRequirement, labels: Readonly<Record<string, string>> | undefined): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    case "=":
    case "in":
      return value !== undefined && values.includes(value);
    case "!=":
    case "notin":
      return value === undefined || !values.includes(value);
    case "gt":
    case "lt": {
      if (value === undefined || !/^-?\d+$/.test(value)) return false;
      const difference = BigInt(value) - BigInt(values[0] ?? "0");
      return operator === "gt" ? difference > 0n : difference < 0n;
    }
  }
}

const setOperators: Readonly<Record<string, LabelRequirement["operator"]>> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
};
const nothing: Selector = [{ key: "", operator: "in", values: [] }];

/** From the selector of a Deployment, a PodDisruptionBudget…: undefined selects nothing, an empty one all. */
export function labelSelectorOf(selector: LabelSelector | undefined): Selector {
  if (selector === undefined) return nothing;
  const requirements: LabelRequirement[] = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
    key,
    operator: "=",
    values: [value],
  }));
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = Object.hasOwn(setOperators, operator) ? setOperators[operator] : undefined;
    if (known === undefined) throw badRequest(`${JSON.stringify(operator)} is not a valid label selector operator`);
    requirements.push({ key, operator: known, values: [...(values ?? [])].sort() });
  }
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** Whether labelSelectorOf can read it: every operator is one of the four. */
export function isReadableSelector(selector: LabelSelector): boolean {
  return (selector.matchExpressions ?? []).every(({ operator }) => Object.hasOwn(setOperators, operator));
}

/** From the plain map of a Service or ReplicationController. */
export function selectorOfMap(labels: Readonly<Record<string, string>>): Selector {
  return labelSelectorOf({ matchLabels: labels });
}

/** `a=b,c==d,e!=f`. Throws an ApiError (400) for a field the resource cannot be selected by. */
export function parseFieldSelector(text: string, resource: Pick<Resource, "fieldSelectors">): FieldSelector {
  return splitTerms(text).map((term) => {
    const match = /^((?:\\.|[^\\=!])*)(!=|==|=)((?:\\.|[^\\])*)$/.exec(term);
    if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const field = unescaped(match[1] ?? "");
    if (!resource.fieldSelectors.includes(field)) throw badRequest(`field label not supported: ${field}`);
    return { field, equal: match[2] !== "!=", value: unescaped(match[3] ?? "") };
  });
}

function splitTerms(text: string): readonly string[] {
  return Array.from(text.matchAll(/(?:\\.|[^\\,])+/g), (m) => m[0]);
}

function unescaped(text: string): string {
  return text.replace(/\\([\\,=])/g, "$1");
}

/** The text of a field as selectors see it: an absent one is empty, a boolean `true` or `false`. */
export function fieldValue(resource: Pick<Resource, "kind" | "group">, object: unknown, field: string): string {
  if (!isRecord(object)) return "";
  if (resource.kind === "Event") return eventField(object, field);
  if (field === "spec.unschedulable" || field === "spec.hostNetwork") return String(walk(object, field) === true);
  if (field === "status.podIPs") {
    const ips = walk(object, field);
    return Array.isArray(ips) ? ips.map((ip: unknown) => (isRecord(ip) ? textOf(ip["ip"]) : "")).join(",") : "";
  }
  if (field === "status.replicas") return textOf(walk(object, field) ?? 0);
  return textOf(walk(object, field));
}

function eventField(object: JsonObject, field: string): string {
  if (field === "source") return textOf(walk(object, "source.component")) || textOf(walk(object, "reportingComponent"));
  return textOf(walk(object, field));
}

/** Whether the object has every field as asked. */
export function matchesFields(resource: Pick<Resource, "kind" | "group">, selector: FieldSelector, object: unknown): boolean {
  return selector.every(({ field, equal, value }) => (fieldValue(resource, object, field) === value) === equal);
}

function walk(object: JsonObject, path: string): unknown {
  let node: unknown = object;
  for (const part of path.split(".")) node = isRecord(node) ? own(node, part) : undefined;
  return node;
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}
