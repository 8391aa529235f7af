import { LineCounter, parseAllDocuments } from "yaml";
import { octalNumber } from "../base/yaml-scalars.ts";

/** One document of a file: its 0-based index and value, or what is wrong and in which line. */
export type ParsedDocument =
  | { readonly index: number; readonly value: unknown }
  | { readonly index: number; readonly error: string; readonly line: number };

/** Documents of JSON or YAML text; empty documents are left out but counted. Never throws. */
export function parseDocuments(text: string): readonly ParsedDocument[] {
  const first = text.trimStart()[0];
  if (first === "{" || first === "[") {
    try {
      return [{ index: 0, value: JSON.parse(text) as unknown }];
    } catch {
      // YAML's flow style begins with a brace too.
    }
  }
  try {
    return parseYaml(text);
  } catch (e) {
    return [{ index: 0, error: describe(e), line: 1 }];
  }
}

function parseYaml(text: string): readonly ParsedDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    schema: "core",
    merge: true,
    customTags: (tags) => [octalNumber, ...tags],
    lineCounter: lines,
    prettyErrors: false,
    logLevel: "silent",
  });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document, index): ParsedDocument[] => {
    const error = document.errors[0];
    if (error !== undefined) return [{ index, error: describe(error), line: lines.linePos(error.pos[0]).line }];
    try {
      const value: unknown = document.toJS();
      return value === null || value === undefined ? [] : [{ index, value }];
    } catch (e) {
      return [{ index, error: describe(e), line: lines.linePos(document.range[0]).line }];
    }
  });
}

function describe(e: unknown): string {
  // The parser recurses: text nested some thousand levels deep ends its stack, which it reports in its own ways.
  if (e instanceof RangeError || (e instanceof Error && e.message.includes("call stack"))) return "nested too deeply";
  return (e instanceof Error ? e.message : String(e)).split("\n")[0] ?? "not YAML";
}
