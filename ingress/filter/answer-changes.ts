import { patternOf } from "../route/pattern.ts";
import { fillText, type TextSource } from "../route/request-text.ts";
import type { AnswerChanges, TextChange } from "../route/route.ts";

/** The headers of an endpoint's answer (flat: name, value) as the route wants the client to see them. */
export function changedAnswer(headers: readonly string[], changes: AnswerChanges, source: TextSource): readonly string[] {
  const out: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const value = headers[i + 1] ?? "";
    const lower = name.toLowerCase();
    if (changes.hide?.includes(lower) === true) continue;
    out.push(name, changedValue(lower, value, changes, source));
  }
  return out;
}

function changedValue(name: string, value: string, changes: AnswerChanges, source: TextSource): string {
  switch (name) {
    case "location":
      return changed(value, changes.location, source);
    case "refresh": {
      // `5; url=/there`
      const at = /url=/i.exec(value);
      const from = at === null ? value.length : at.index + 4;
      return value.slice(0, from) + changed(value.slice(from), changes.location, source);
    }
    case "set-cookie":
      return changedCookie(value, changes, source);
    default:
      return value;
  }
}

function changedCookie(value: string, changes: AnswerChanges, source: TextSource): string {
  if (changes.cookieDomain === undefined && changes.cookiePath === undefined) return value;
  const [pair = "", ...attributes] = value.split(";");
  const rest = attributes.map((attribute) => {
    const eq = attribute.indexOf("=");
    const name = attribute.slice(0, Math.max(0, eq));
    const text = attribute.slice(eq + 1);
    switch (name.trim().toLowerCase()) {
      case "domain": {
        const bare = text.trim().replace(/^\./, "").toLowerCase();
        const after = changed(bare, changes.cookieDomain, source);
        return after === bare ? attribute : `${name}=${after}`;
      }
      case "path":
        return `${name}=${changed(text.trim(), changes.cookiePath, source)}`;
      default:
        return attribute;
    }
  });
  return [pair, ...rest].join(";");
}

/** As the first change that fits has it. */
function changed(value: string, changes: readonly TextChange[] | undefined, source: TextSource): string {
  if (value === "") return value;
  for (const change of changes ?? []) {
    const after = attempt(value, change, source);
    // from here it would stand in a header line
    if (after !== undefined) return /[\r\n\0]/.test(after) ? value : after;
  }
  return value;
}

function attempt(value: string, change: TextChange, source: TextSource): string | undefined {
  switch (change.kind) {
    case "prefix": {
      const from = fillText(change.from, source);
      return value.startsWith(from) ? fillText(change.to, source) + value.slice(from.length) : undefined;
    }
    case "whole": {
      const from = fillText(change.from, source).replace(/^\./, "").toLowerCase();
      return value.toLowerCase() === from ? fillText(change.to, source) : undefined;
    }
    case "regex": {
      const groups = patternOf(change.pattern, change.ignoreCase).groups(value);
      return groups === undefined
        ? undefined
        : fillText(change.to, source).replace(/\$([1-9])/g, (_, n: string) => groups[Number(n)] ?? "");
    }
  }
}
