import type { TableColumnDefinition, TableRowCondition } from "../types/meta-v1.generated.ts";

/** A cell of a row: text or a number. */
export type Cell = string | number;

/** One kind's way to be shown: its columns, and the cells of an object in their order. `now` in milliseconds. */
export interface Layout {
  readonly columns: readonly TableColumnDefinition[];
  cells(object: unknown, now: number): readonly Cell[];
  conditions?(object: unknown): readonly TableRowCondition[];
}

/** Makes a layout of column names and a function of the kind's type. A `+` before a name shows it with `-o wide` only. */
export function layout<T>(
  columns: readonly string[],
  cells: (object: T, now: number) => readonly Cell[],
  conditions?: (object: T) => readonly TableRowCondition[],
): Layout {
  return {
    columns: columns.map(columnOf),
    cells: (object, now) => cells(object as T, now),
    ...(conditions === undefined ? {} : { conditions: (object: unknown) => conditions(object as T) }),
  };
}

const descriptions: Readonly<Record<string, string>> = {
  Name: "The name of the object.",
  Age: "How long ago the object was created.",
  Status: "The state of the object as a whole.",
  Ready: "How many of its parts are ready, of how many.",
};

/** `Name`, `Desired#` (a number), `+Images` (wide). */
function columnOf(text: string): TableColumnDefinition {
  const name = text.replace(/^\+|#$/g, "");
  return {
    name,
    type: text.endsWith("#") ? "integer" : "string",
    format: name === "Name" ? "name" : "",
    description: descriptions[name] ?? `${name} of the object.`,
    priority: text.startsWith("+") ? 1 : 0,
  };
}
