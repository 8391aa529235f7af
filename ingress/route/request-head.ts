/** What routing reads of a request. `headers` is flat: name, value, name, value; names in lower case. */
export interface RequestHead {
  readonly method: string;
  /** As normalizeHost gave it. */
  readonly host: string;
  /** As normalizePath gave it. */
  readonly path: string;
  /** What stands after the `?`, without it. */
  readonly query: string;
  readonly headers: readonly string[];
}

/** The first value of a header; `name` in lower case. */
export function headerValue(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1];
  return undefined;
}

/** The value of a cookie of the request, as it stands. */
export function cookieValue(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== "cookie") continue;
    for (const part of (headers[i + 1] ?? "").split(";")) {
      const eq = part.indexOf("=");
      if (eq > 0 && part.slice(0, eq).trim() === name) return part.slice(eq + 1).trim();
    }
  }
  return undefined;
}

/** Host or authority as routes are keyed: lower case, no port, no trailing dot. */
export function normalizeHost(authority: string): string {
  let end = authority.length;
  if (authority.charCodeAt(0) === 0x5b) {
    const close = authority.indexOf("]");
    if (close > 0) end = close + 1;
  } else {
    const colon = authority.indexOf(":");
    if (colon >= 0) end = colon;
  }
  if (end > 1 && authority.charCodeAt(end - 1) === 0x2e) end--;
  const host = end === authority.length ? authority : authority.slice(0, end);
  return /[A-Z]/.test(host) ? host.toLowerCase() : host;
}

/**
 * The path as rules see it: percent-encoding decoded once, dot segments resolved, slashes merged, as nginx does before it
 * looks for a location, so that no spelling of a path escapes the rule that guards it. Bytes above 127 are one character
 * each (latin1 of UTF-8). `undefined`: it cannot be one (NUL, a broken escape, above the root); answer 400.
 */
export function normalizePath(path: string): string | undefined {
  if (!needsNormalizing.test(path)) return path;
  let decoded = path;
  if (path.includes("%")) {
    if (/%(?![0-9a-fA-F]{2})/.test(path)) return undefined;
    decoded = path.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    if (decoded.includes("\0")) return undefined;
  }
  const out: string[] = [];
  const parts = decoded.split("/");
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i] ?? "";
    const last = i === parts.length - 1;
    if (part === "..") {
      if (out.length === 0) return undefined;
      out.pop();
      if (last) out.push("");
    } else if (part === "." || part === "") {
      if (last) out.push("");
    } else out.push(part);
  }
  return `/${out.join("/")}`;
}

const needsNormalizing = /%|\/\/|\/\.\.?(?:\/|$)/;

/** A normalised path as it may stand in a request line: what nginx escapes when it has changed the path. */
export function escapePath(path: string): string {
  return /[^!-~]|[%?#"]/.test(path)
    ? path.replace(/[^!-~]|[%?#"]/g, (c) => `%${(c.charCodeAt(0) & 255).toString(16).toUpperCase().padStart(2, "0")}`)
    : path;
}

/** Text of an object as the bytes it has on the wire, one character each. */
export function wireText(text: string): string {
  return /[^\0-\x7f]/.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}
