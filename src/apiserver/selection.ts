import type { Resource } from "../api/scheme.ts";
import { type FieldSelector, matchesSelector, parseFieldSelector, parseLabelSelector, type Selector } from "../api/selector.ts";
import type { CacheEntry } from "../store/cache-table.ts";

/** What a list or watch is restricted to. */
export interface Selection {
  readonly labels: Selector;
  readonly fields: FieldSelector;
  /** The prefix of keys: "" or `namespace/`. */
  readonly prefix: string;
}

export function selectionOf(resource: Resource, namespace: string, query: URLSearchParams): Selection {
  return {
    labels: parseLabelSelector(query.get("labelSelector") ?? ""),
    fields: parseFieldSelector(query.get("fieldSelector") ?? "", resource),
    prefix: namespace === "" ? "" : `${namespace}/`,
  };
}

export function selectsAll(selection: Selection): boolean {
  return selection.labels.length === 0 && selection.fields.length === 0;
}

export function isSelected(selection: Selection, entry: CacheEntry): boolean {
  if (!entry.key.startsWith(selection.prefix)) return false;
  if (selectsAll(selection)) return true;
  const { labels, fields } = entry.selectable;
  return selection.fields.every((f) => ((fields[f.field] ?? "") === f.value) === f.equal) && matchesSelector(selection.labels, labels);
}
