import { type FieldSelector, matchesSelector, parseFieldSelector, parseLabelSelector, type Selector } from "../api/selector.ts";
import type { CacheEntry } from "../store/cache-table.ts";
import type { View } from "./view.ts";

/** What a list or watch is restricted to. */
export interface Selection {
  readonly labels: Selector;
  readonly fields: FieldSelector;
  /** The prefix of keys: "" or `namespace/`. */
  readonly prefix: string;
}

/** By the names that the client uses for fields, as what they are called in what is stored. */
export function selectionOf(view: View, namespace: string, query: URLSearchParams): Selection {
  const asked = parseFieldSelector(query.get("fieldSelector") ?? "", view.resource);
  return {
    labels: parseLabelSelector(query.get("labelSelector") ?? ""),
    fields: asked.map((f) => ({ ...f, field: view.storedField(f.field) })),
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
