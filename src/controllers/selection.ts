import { labelSelectorOf, matchesSelector, type Selector } from "../api/selector.ts";
import type { LabelSelector } from "../api/types/meta-v1.generated.ts";

const compiled = new WeakMap<LabelSelector, Selector>();

/** Objects are never changed, so a selector is compiled once for as long as the object that holds it lives. */
export function matchesLabels(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>> | undefined): boolean {
  if (selector === undefined) return false;
  let known = compiled.get(selector);
  if (known === undefined) {
    known = labelSelectorOf(selector);
    compiled.set(selector, known);
  }
  return matchesSelector(known, labels);
}

/** The plain map of a Service: every pair must be there. */
export function hasLabels(labels: Readonly<Record<string, string>> | undefined, wanted: Readonly<Record<string, string>>): boolean {
  for (const key in wanted) if (labels?.[key] !== wanted[key]) return false;
  return true;
}
