import type { FilterOf } from "../route/filter.ts";
import { escapePath, wireText } from "../route/request-head.ts";
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
  const target = wireText(f.target);
  const dropQuery = target.endsWith("?");
  const question = dropQuery ? target.length - 1 : target.indexOf("?");
  const pathPart = question < 0 ? target : target.slice(0, question);
  const own = question < 0 || dropQuery ? "" : fill(target.slice(question + 1), groups);
  const query = [own, dropQuery ? "" : r.query].filter((q) => q !== "").join("&");
  const filled = fill(pathPart, groups);
  const suffix = query === "" ? "" : `?${query}`;
  if (/^https?:\/\//i.test(target)) return redirect("rewrite", 302, `${escapePath(filled)}${suffix}`);
  const path = filled.startsWith("/") ? filled : `/${filled}`;
  return { path, query, target: `${escapePath(path)}${suffix}` };
}

function fill(template: string, groups: RegExpExecArray): string {
  return template.replace(/\$([1-9])/g, (_, n: string) => groups[Number(n)] ?? "");
}
