import { stringify } from "yaml";
import { unreachable } from "../../base/unreachable.ts";
import type { OutputFormat } from "../output-format.ts";

/** JSON is compact: one document in one line. */
export function printJson(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

export function printYaml(value: unknown): string {
  // Through JSON, so that both documents say the same: undefined fields are left out.
  return stringify(JSON.parse(JSON.stringify(value)), { lineWidth: 0 });
}

/** How one answer looks in each format. */
export interface AnswerForms {
  readonly data: unknown;
  readonly text: () => string;
  readonly wide?: () => string;
  /** One name a line. */
  readonly names: () => readonly string[];
}

export function printAnswer(format: OutputFormat | undefined, forms: AnswerForms): string {
  switch (format) {
    case "json":
      return printJson(forms.data);
    case "yaml":
      return printYaml(forms.data);
    case "name":
      return forms
        .names()
        .map((n) => `${n}\n`)
        .join("");
    case "wide":
      return (forms.wide ?? forms.text)();
    case undefined:
      return forms.text();
    default:
      return unreachable(format);
  }
}
