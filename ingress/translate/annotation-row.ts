import type { ParseValue } from "./annotation-values.ts";

/**
 * What becomes of one annotation (or key of a ConfigMap) of ingress-nginx.
 * `kept`: means what it means there. `differs`: does its work, with a difference that `note` names. `inert`: there is nothing
 * to set here, and `note` says why. `refused`: not served, and `note` says why and what to use instead.
 */
export type RowState = "kept" | "differs" | "inert" | "refused";

export interface AnnotationRow<T = unknown> {
  readonly state: RowState;
  /** How its value is read; a value that it does not take is a Problem. */
  readonly parse: ParseValue<T>;
  /** What holds where nobody sets it; "" where that is nothing. */
  readonly initial: string;
  readonly note: string;
  /** It keeps somebody out: where its value is wrong or cannot be served, its paths answer 503 rather than stand open. */
  readonly guards: boolean;
  /** The ConfigMap may set it for all Ingresses, by the same key. */
  readonly config: boolean;
}

type Options = Partial<Pick<AnnotationRow, "initial" | "note" | "guards" | "config">>;

function row<T>(state: RowState, parse: ParseValue<T>, o: Options): AnnotationRow<T> {
  return { state, parse, initial: o.initial ?? "", note: o.note ?? "", guards: o.guards ?? false, config: o.config ?? false };
}

export const kept = <T>(parse: ParseValue<T>, o: Options = {}): AnnotationRow<T> => row("kept", parse, o);
export const differs = <T>(parse: ParseValue<T>, note: string, o: Options = {}): AnnotationRow<T> => row("differs", parse, { ...o, note });
export const inert = (note: string, o: Options = {}): AnnotationRow<string> => row("inert", (t) => t, { ...o, note });
export const refused = <T>(parse: ParseValue<T>, note: string, o: Options = {}): AnnotationRow<T> => row("refused", parse, { ...o, note });
