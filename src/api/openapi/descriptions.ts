/** What a type, or one of its fields, is for. `type` is a full name as in the generated table. */
export type Describe = (type: string, field?: string) => string | undefined;

/**
 * Reads the comments of a TypeScript declaration file with one interface after another: `Pod` → what stands before the
 * interface, `Pod.spec` → what stands before the field.
 */
export function descriptionsFrom(declarations: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const pattern =
    /\/\*\*([\s\S]*?)\*\/\s*(?:export (?:interface|type) (\w+)|(?:readonly )?"?([\w$-]+)"?\??:)|export (?:interface|type) (\w+)|^\}/gm;
  let owner = "";
  for (const [whole, comment, name, field, bare] of declarations.matchAll(pattern)) {
    if (name !== undefined) {
      owner = name;
      found.set(name, plain(comment ?? ""));
    } else if (bare !== undefined) owner = bare;
    else if (field !== undefined && owner !== "") found.set(`${owner}.${field}`, plain(comment ?? ""));
    else if (whole === "}") owner = "";
  }
  return found;
}

/** Looks descriptions up by type, in declaration files named as the package has them: `core/v1`, `meta/v1`. */
export function describerOf(files: ReadonlyMap<string, string>): Describe {
  const parsed = new Map(Array.from(files, ([name, text]) => [name, descriptionsFrom(text)] as const));
  return (type, field) => {
    const parts = type.split(".");
    const name = parts.at(-1) ?? "";
    return parsed.get(`${parts.at(-3)}/${parts.at(-2)}`)?.get(field === undefined ? name : `${name}.${field}`);
  };
}

/** The text of a comment: stars and the indentation of its lines gone. */
function plain(comment: string): string {
  const lines = comment.split("\n").map((line) => line.replace(/^\s*\*? ?/, "").trimEnd());
  return lines.join("\n").trim();
}
