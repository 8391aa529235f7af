import type { FilterOf } from "../route/filter.ts";
import { type Groups, pathPattern } from "../route/pattern.ts";
import { escapePath, wireText } from "../route/request-head.ts";
import { partText, type TextPart } from "../route/request-text.ts";
import type { FilteredRequest, FilterOutcome } from "./outcome.ts";
import { redirect } from "./redirects.ts";

/**
 * As nginx's `rewrite … break`: the pattern is found in the normalised path, `$1`…`$9` are its groups. A target with its
 * own query keeps the client's after it, unless it ends in `?`; a target with a scheme is a redirect.
 */
export function applyRewrite(f: FilterOf<"rewrite">, r: FilteredRequest): FilterOutcome | undefined {
  const groups = pathPattern(f.pattern, f.ignoreCase).groups(r.path);
  if (groups === undefined) return undefined;
  const pieces = piecesOf(f.target);
  const filled = fill(pieces.path, groups, r);
  const own = fill(pieces.query, groups, r);
  const client = pieces.dropsQuery ? "" : r.query;
  const query = own === "" || client === "" ? own + client : `${own}&${client}`;
  const suffix = query === "" ? "" : `?${query}`;
  if (/^https?:\/\//i.test(filled)) return redirect("rewrite", 302, `${escapePath(filled)}${suffix}`);
  const path = filled.startsWith("/") ? filled : `/${filled}`;
  return { path, query, target: `${escapePath(path)}${suffix}` };
}

/** What a piece gives: itself, the group of this number, or a part of the request. */
type Piece = string | number | TextPart;

/** A target taken apart. The first `?` that stands in it, not in what fills it, begins the query; one at its end leaves the client's away. */
interface TargetPieces {
  readonly path: readonly Piece[];
  readonly query: readonly Piece[];
  readonly dropsQuery: boolean;
}

/** Targets are values of a route: each is taken apart once. */
const known = new WeakMap<readonly TextPart[], TargetPieces>();

function piecesOf(target: readonly TextPart[]): TargetPieces {
  let pieces = known.get(target);
  if (pieces === undefined) {
    pieces = takenApart(target);
    known.set(target, pieces);
  }
  return pieces;
}

function takenApart(target: readonly TextPart[]): TargetPieces {
  const last = target.at(-1);
  const dropsQuery = last?.kind === "text" && last.text.endsWith("?");
  const path: Piece[] = [];
  let query: Piece[] | undefined;
  for (const part of target) {
    if (part.kind !== "text") {
      (query ?? path).push(part);
      continue;
    }
    // what is decoded here is escaped again with the whole
    const text = wireText(part === last && dropsQuery ? part.text.slice(0, -1) : part.text);
    const question = query === undefined ? text.indexOf("?") : -1;
    if (question < 0) (query ?? path).push(...groupsApart(text));
    else {
      path.push(...groupsApart(text.slice(0, question)));
      query = groupsApart(text.slice(question + 1));
    }
  }
  return { path, query: query ?? [], dropsQuery };
}

/** `$1` to `$9` as numbers. */
function groupsApart(template: string): Piece[] {
  return template.split(/\$([1-9])/).map((text, i) => (i % 2 === 0 ? text : Number(text)));
}

function fill(pieces: readonly Piece[], groups: Groups, r: FilteredRequest): string {
  let text = "";
  for (const piece of pieces) {
    if (typeof piece === "string") text += piece;
    else if (typeof piece === "number") text += groups[piece] ?? "";
    else text += piece.kind === "path" ? r.path : partText(piece, r);
  }
  return text;
}
