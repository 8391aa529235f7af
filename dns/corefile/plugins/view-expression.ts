import { type Cidr, parseCidr } from "../../../src/base/cidr.ts";

/** Facts about a query that an expression may ask for. */
export const queryFacts = [
  "type",
  "name",
  "class",
  "proto",
  "size",
  "client_ip",
  "port",
  "server_ip",
  "server_port",
  "id",
  "opcode",
  "bufsize",
  "do",
] as const;
export type QueryFact = (typeof queryFacts)[number];

export const comparisons = ["==", "!=", "<=", ">=", "<", ">", "startsWith", "endsWith", "contains", "matches", "in"] as const;
export type Comparison = (typeof comparisons)[number];

/** A view's condition. */
export type Expression =
  | { readonly kind: "literal"; readonly value: string | number | boolean }
  | { readonly kind: "list"; readonly items: readonly Expression[] }
  | { readonly kind: "fact"; readonly name: QueryFact }
  | { readonly kind: "metadata"; readonly label: Expression }
  | { readonly kind: "incidr"; readonly ip: Expression; readonly cidr: Cidr }
  | { readonly kind: "not"; readonly of: Expression }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "compare"; readonly by: Comparison; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "matches"; readonly left: Expression; readonly pattern: RegExp };

const lexeme =
  /\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([0-9]+(?:\.[0-9]+)?)|([A-Za-z_][A-Za-z0-9_]*)|(&&|\|\||==|!=|<=|>=|[!<>()[\],]))/y;

/** Throws a SyntaxError that says what was expected. */
export function parseExpression(text: string): Expression {
  const words: string[] = [];
  lexeme.lastIndex = 0;
  while (lexeme.lastIndex < text.trimEnd().length) {
    const at = lexeme.lastIndex;
    const match = lexeme.exec(text);
    if (match === null) throw new SyntaxError(`${text.slice(at).trim()} makes no sense here`);
    words.push(match[0].trim());
  }
  let next = 0;
  const peek = (): string => words[next] ?? "the end";
  const accept = (...choices: readonly string[]): string | undefined => (choices.includes(peek()) ? words[next++] : undefined);
  const expect = (wanted: string): void => {
    if (accept(wanted) === undefined) throw new SyntaxError(`${wanted} is expected before ${peek()}`);
  };

  const either = (): Expression => {
    let left = both();
    while (accept("||", "or") !== undefined) left = { kind: "or", left, right: both() };
    return left;
  };
  const both = (): Expression => {
    let left = negated();
    while (accept("&&", "and") !== undefined) left = { kind: "and", left, right: negated() };
    return left;
  };
  const negated = (): Expression => (accept("!", "not") === undefined ? compared() : { kind: "not", of: negated() });
  const compared = (): Expression => {
    const left = value();
    const inverted = accept("not") !== undefined;
    const by = comparisons.find((c) => accept(c) !== undefined);
    if (by === undefined) return inverted ? fail() : left;
    const right = value();
    const comparison: Expression =
      by === "matches" ? { kind: "matches", left, pattern: new RegExp(textOf(right)) } : { kind: "compare", by, left, right };
    return inverted ? { kind: "not", of: comparison } : comparison;
  };
  const list = (end: string): readonly Expression[] => {
    const items: Expression[] = [];
    while (accept(end) === undefined) {
      if (items.length > 0) expect(",");
      items.push(either());
    }
    return items;
  };
  const fail = (): never => {
    throw new SyntaxError(`${peek()} is not expected`);
  };
  const value = (): Expression => {
    const word = words[next++];
    if (word === undefined) throw new SyntaxError("a value is expected at the end");
    if (/^['"]/.test(word)) return { kind: "literal", value: word.slice(1, -1).replace(/\\(.)/g, "$1") };
    if (/^[0-9]/.test(word)) return { kind: "literal", value: Number(word) };
    if (word === "(") {
      const inner = either();
      expect(")");
      return inner;
    }
    if (word === "[") return { kind: "list", items: list("]") };
    if (word === "true" || word === "false") return { kind: "literal", value: word === "true" };
    if (accept("(") === undefined) throw new SyntaxError(`${word} is not a function call`);
    return call(word, list(")"));
  };
  const result = either();
  if (next < words.length) fail();
  return result;
}

function call(name: string, args: readonly Expression[]): Expression {
  const [first, second, ...more] = args;
  if (name === "incidr" && first !== undefined && second !== undefined && more.length === 0) {
    const text = textOf(second);
    const cidr = parseCidr(text);
    if (cidr === undefined) throw new SyntaxError(`${text} is not a range`);
    return { kind: "incidr", ip: first, cidr };
  }
  if (name === "metadata" && first !== undefined && second === undefined) return { kind: "metadata", label: first };
  const fact = queryFacts.find((f) => f === name);
  if (fact !== undefined && args.length === 0) return { kind: "fact", name: fact };
  throw new SyntaxError(
    `no function ${name} of ${args.length} arguments; there are ${queryFacts.join("(), ")}(), incidr(IP, 'RANGE') and metadata('LABEL')`,
  );
}

function textOf(e: Expression): string {
  if (e.kind === "literal" && typeof e.value === "string") return e.value;
  throw new SyntaxError("a text in quotes is expected");
}
