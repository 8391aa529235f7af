import type { Problem } from "../../src/snapshot/problem.ts";
import {
  type AnnotationName,
  type AnnotationValue,
  annotationPrefix,
  annotationRow,
  annotationRows,
  guardsPaths,
  ownPrefix,
  parserOf,
  wholeName,
} from "./annotation-table.ts";
import { isBad } from "./annotation-values.ts";

/** Told of an annotation that is wrong: its name without the prefix, a reason word, a message. */
export type Complain = (name: string, reason: Problem["reason"], message: string) => void;

/** What the ConfigMap says by the names of annotations; only what its rows take. */
export type AnnotationDefaults = ReadonlyMap<string, string>;

/** The annotations of one Ingress, each read as its row in the table says, over what the ConfigMap says. */
export class AnnotationReader {
  readonly #values: ReadonlyMap<string, string>;
  readonly #defaults: AnnotationDefaults;
  readonly #complain: Complain;
  /** Set: something that guards these paths could not be understood, so nobody gets in. */
  refusal: string | undefined;

  constructor(annotations: Readonly<Record<string, string>>, defaults: AnnotationDefaults, complain: Complain) {
    this.#values = new Map(
      Object.entries(annotations)
        .filter(([k]) => k.startsWith(annotationPrefix) || k.startsWith(ownPrefix))
        .map(([k, v]) => [k.startsWith(ownPrefix) ? k : k.slice(annotationPrefix.length), v.trim()]),
    );
    this.#defaults = defaults;
    this.#complain = complain;
  }

  /** The value; `undefined` when nobody sets it, or it is wrong, which is complained of, and shuts the paths where it guards them. */
  get<N extends AnnotationName>(name: N): AnnotationValue<N> | undefined {
    const own = this.#values.get(name);
    if (own !== undefined && own !== "") {
      const value = parserOf(name)(own);
      if (!isBad(value)) return value;
      const message = `"${own}" is not ${value.expected}`;
      if (annotationRows[name].guards) {
        this.refuse(name, message);
        return undefined;
      }
      this.#complain(name, "InvalidAnnotation", `${message}; the annotation is ignored`);
    }
    const common = annotationRows[name].config ? this.#defaults.get(name) : undefined;
    const value = common === undefined || common === "" ? undefined : parserOf(name)(common);
    return value === undefined || isBad(value) ? undefined : value;
  }

  /** The text itself, for messages. */
  text(name: AnnotationName): string {
    return this.#values.get(name) ?? "";
  }

  complain(name: AnnotationName, reason: string, message: string): void {
    this.#complain(name, reason, message);
  }

  refuse(name: AnnotationName, message: string, reason = "InvalidAnnotation"): void {
    this.refusal ??= `${wholeName(name)}: ${message}`;
    const why = annotationRows[name].guards ? "as it guards these paths, they answer 503" : "the paths answer 503";
    this.#complain(name, reason, `${message}; ${why} until it is right`);
  }

  /** Of those that are not served: why, and what to use instead. */
  complainOfRefused(): void {
    for (const [name, text] of this.#values) {
      const row = annotationRow(name);
      if (row !== undefined && (row.state !== "refused" || row.parse(text) === false || text === "")) continue;
      const why = row === undefined ? "not known" : row.note;
      if (guardsPaths(name, text)) {
        this.refusal ??= `${wholeName(name)} is not supported`;
        this.#complain(name, "UnsupportedAnnotation", `${why}; as it guards these paths, they answer 503 while it is there`);
      } else this.#complain(name, "UnsupportedAnnotation", `${why}; the rest is served`);
    }
  }
}
