import type { Directive } from "../corefile.ts";
import { badValue, readOptions, wordsOf } from "../words.ts";
import { type Expression, parseExpression } from "./view-expression.ts";

/** Its server block is only for queries that all conditions hold for. */
export interface ViewConfig {
  readonly plugin: "view";
  readonly name: string;
  readonly conditions: readonly Expression[];
}

export function readView(d: Directive): ViewConfig {
  const words = wordsOf(d);
  const name = words.take("a name");
  words.end();
  const conditions: Expression[] = [];
  readOptions(d, {
    expr: (w) => {
      const text = w.some("an expression").join(" ");
      try {
        conditions.push(parseExpression(text));
      } catch (error) {
        w.fail(`${text}: ${error instanceof Error ? error.message : String(error)}`);
      }
    },
  });
  if (conditions.length === 0) badValue(d, "view: `expr EXPRESSION` is missing");
  return { plugin: "view", name, conditions };
}
