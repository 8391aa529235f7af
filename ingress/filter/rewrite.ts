import type { FilterOf } from "../route/filter.ts";
import { escapePath, wireText } from "../route/request-head.ts";
import { partText, type TextPart } from "../route/request-text.ts";
import { pathRegExp } from "../route/value-match.ts";
import type { FilteredRequest, FilterOutcome } from "./outcome.ts";
import { redirect } from "./redirects.ts";

/**
 * As nginx's `rewrite … break`: the pattern is found in the normalised path, `$1`…`$9` are its groups. A target with its
 * own query keeps the client's after it, unless it ends in `?`; a target with a scheme is a redirect.
 */
export function applyRewrite(f: FilterOf<"rewrite">, r: FilteredRequest): FilterOutcome | undefined {
  const groups = pathRegExp(f.pattern, f.ignoreCase).exec(r.path);
  if (groups === null) return undefined;
  const { path: filled, query: own, dropsQuery } = fillTarget(f.target, r, groups);
  const query = [own, dropsQuery ? "" : r.query].filter((q) => q !== "").join("&");
  const suffix = query === "" ? "" : `?${query}`;
  if (/^https?:\/\//i.test(filled)) return redirect("rewrite", 302, `${escapePath(filled)}${suffix}`);
  const path = filled.startsWith("/") ? filled : `/${filled}`;
  return { path, query, target: `${escapePath(path)}${suffix}` };
}

/** The first `?` that stands in the target itself, not in what fills it, begins the query; one at its end leaves the client's away. */
function fillTarget(
  target: readonly TextPart[],
  r: FilteredRequest,
  groups: RegExpExecArray,
): { readonly path: string; readonly query: string; readonly dropsQuery: boolean } {
  const last = target.at(-1);
  const dropsQuery = last?.kind === "text" && last.text.endsWith("?");
  let path = "";
  let query: string | undefined;
  for (const part of target) {
    // what is decoded here is escaped again with the whole
    const text = part.kind === "text" ? wireText(part === last && dropsQuery ? part.text.slice(0, -1) : part.text) : undefined;
    const question = text === undefined || query !== undefined ? -1 : text.indexOf("?");
    if (text === undefined) {
      const value = part.kind === "path" ? r.path : partText(part, r);
      if (query === undefined) path += value;
      else query += value;
    } else if (query !== undefined) query += fill(text, groups);
    else {
      path += fill(question < 0 ? text : text.slice(0, question), groups);
      if (question >= 0) query = fill(text.slice(question + 1), groups);
    }
  }
  return { path, query: query ?? "", dropsQuery };
}

function fill(template: string, groups: RegExpExecArray): string {
  return template.replace(/\$([1-9])/g, (_, n: string) => groups[Number(n)] ?? "");
}
