/** A server behind a proxy path of the API: where its pages are, and where they seem to be. */
export interface ProxiedPlace {
  /** The path of the API that stands for its root, without a slash at the end. */
  readonly prefix: string;
  /** Its own `host:port`, and those that the client asked. */
  readonly hosts: readonly string[];
}

/** Which attributes hold addresses, by element (HTML's table of attributes). */
const addresses: Readonly<Record<string, readonly string[]>> = {
  a: ["href"],
  area: ["href"],
  audio: ["src"],
  base: ["href"],
  blockquote: ["cite"],
  body: ["background"],
  button: ["formaction"],
  del: ["cite"],
  embed: ["src"],
  form: ["action"],
  frame: ["longdesc", "src"],
  html: ["manifest"],
  iframe: ["longdesc", "src"],
  img: ["longdesc", "src", "usemap"],
  input: ["src", "usemap", "formaction"],
  ins: ["cite"],
  link: ["href"],
  object: ["classid", "codebase", "data", "usemap"],
  q: ["cite"],
  script: ["src"],
  source: ["src"],
  video: ["poster", "src"],
};
/** What stands in these is text, up to their end tag. */
const textElements = new Set(["script", "style", "textarea", "title", "xmp"]);

/** An address on a proxied page, as a browser has to ask for it: those of the same server lead through the proxy. */
export function throughProxy(place: ProxiedPlace, address: string): string {
  const [, host, path = ""] = /^(?:(?:https?:)?\/\/([^/?#]*))?(\/.*)?$/is.exec(address) ?? [];
  if (path === "" || (host !== undefined && !place.hosts.includes(host))) return address;
  return path === place.prefix || path.startsWith(`${place.prefix}/`) ? path : place.prefix + path;
}

/** The page with its links changed, and nothing else. Takes time by its length, whatever is in it. */
export function changeLinks(html: string, change: (address: string) => string): string {
  let out = "";
  let done = 0;
  for (let at = html.indexOf("<"); at !== -1; at = html.indexOf("<", at)) {
    if (html.startsWith("<!--", at)) {
      const end = html.indexOf("-->", at + 4);
      if (end === -1) break;
      at = end + 3;
      continue;
    }
    const name = wordAt(html, at + 1);
    if (name === "") {
      at++;
      continue;
    }
    const found = scanTag(html, at + 1 + name.length, addresses[name.toLowerCase()] ?? []);
    if (found === undefined) break; // unfinished: what follows is no tag
    for (const { start, end } of found.values) {
      out += html.slice(done, start) + change(html.slice(start, end));
      done = end;
    }
    at = found.end;
    if (!textElements.has(name.toLowerCase())) continue;
    const close = endTag(html, name, at);
    if (close === -1) break;
    at = close;
  }
  return out + html.slice(done);
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** The values of `wanted` attributes in the tag whose name ends at `at`, and where the tag ends. */
function scanTag(
  html: string,
  from: number,
  wanted: readonly string[],
): { readonly values: readonly Span[]; readonly end: number } | undefined {
  const values: Span[] = [];
  let at = from;
  while (at < html.length) {
    const c = html[at] ?? "";
    if (c === ">") return { values, end: at + 1 };
    if (c === "/" || c === "=" || isSpace(c)) {
      at++;
      continue;
    }
    const nameStart = at;
    while (at < html.length && !isSpace(html[at] ?? "") && !"/>=".includes(html[at] ?? "")) at++;
    const name = html.slice(nameStart, at).toLowerCase();
    at = pastSpace(html, at);
    if (html[at] !== "=") continue;
    at = pastSpace(html, at + 1);
    const quote = html[at] === '"' || html[at] === "'" ? (html[at] ?? "") : "";
    const start = at + quote.length;
    let end = start;
    if (quote === "") while (end < html.length && html[end] !== ">" && !isSpace(html[end] ?? "")) end++;
    else end = html.indexOf(quote, start);
    if (end === -1) return undefined;
    if (wanted.includes(name)) values.push({ start, end });
    at = end + quote.length;
  }
  return undefined;
}

function wordAt(html: string, from: number): string {
  let at = from;
  while (/[a-z0-9]/i.test(html[at] ?? "")) at++;
  return /[a-z]/i.test(html[from] ?? "") ? html.slice(from, at) : "";
}

function endTag(html: string, name: string, from: number): number {
  for (let at = html.indexOf("</", from); at !== -1; at = html.indexOf("</", at + 2)) {
    if (html.slice(at + 2, at + 2 + name.length).toLowerCase() === name.toLowerCase()) return at;
  }
  return -1;
}

function pastSpace(html: string, from: number): number {
  let at = from;
  while (isSpace(html[at] ?? "")) at++;
  return at;
}

function isSpace(c: string): boolean {
  return c === " " || c === "\n" || c === "\t" || c === "\r" || c === "\f";
}
