import { RE2JS } from "re2js";

/**
 * A regular expression of a user, which must not cost its proxy more than time in proportion to the text: whoever may write
 * an Ingress writes these, and whoever may ask chooses the texts. `re2js` (a port of RE2) runs them.
 */
export interface Pattern {
  /** Texts of more characters are looked at no further: nothing is found in them. */
  readonly longest: number;
  /** Found in the text. */
  test(text: string): boolean;
  /** The text that was found, and that of each group; `undefined` where nothing is found. */
  groups(text: string): Groups | undefined;
}

export type Groups = readonly (string | undefined)[];

/** A path too long for a pattern that its letters fit: whether it is meant cannot be told, so nobody else may have it. */
export class PathTooLong extends Error {
  constructor(source: string, longest: number) {
    super(`the path is longer than the ${longest} characters in which ${source} is looked for`);
    this.name = "PathTooLong";
  }
}

/** Steps of a compiled pattern. A word of ten letters has ten. */
const maxSteps = 1000;
/** Each step may be tried at each character: so many in all take some 50 ms at worst. */
const maxWork = 1 << 19;

/** Some 20 KiB each. */
const maxCached = 1024;

/** Made when first asked for; past so many, all are forgotten: a table has far more than are in use at a time. */
class PatternCache {
  readonly #compile: (source: string, ignoreCase: boolean) => Pattern;
  /** By source alone: requests ask for them, and a key put together for each would cost more than the rest of it. */
  readonly #known = [new Map<string, Pattern>(), new Map<string, Pattern>()] as const;

  constructor(compile: (source: string, ignoreCase: boolean) => Pattern) {
    this.#compile = compile;
  }

  get(source: string, ignoreCase: boolean): Pattern {
    const known = this.#known[ignoreCase ? 1 : 0];
    let found = known.get(source);
    if (found === undefined) {
      found = this.#compile(source, ignoreCase);
      if (known.size >= maxCached) known.clear();
      known.set(source, found);
    }
    return found;
  }
}

const anywhere = new PatternCache(compileAnywhere);
const fromStart = new PatternCache(pathStart);

/** To be found anywhere; throws for what `patternFault` finds fault with: patterns are checked where they enter. */
export function patternOf(source: string, ignoreCase: boolean): Pattern {
  return anywhere.get(source, ignoreCase);
}

/** What a `regex` path stands for: to be found at the start; throws as `patternOf`, and its tests throw PathTooLong. */
export function pathPattern(source: string, ignoreCase: boolean): Pattern {
  return fromStart.get(source, ignoreCase);
}

/** Why a text is no pattern here, and what to write instead where it is one elsewhere. */
export function patternFault(source: string): string | undefined {
  return faults.get(source, compileAnywhere);
}

/** The same for the pattern of a path. */
export function pathPatternFault(source: string): string | undefined {
  return pathFaults.get(source, compilePath);
}

/** Whoever translates asks about the same patterns again and again, and runs none of them. */
class FaultCache {
  readonly #known = new Map<string, string | undefined>();

  get(source: string, compile: (source: string, ignoreCase: boolean) => Pattern): string | undefined {
    if (this.#known.has(source)) return this.#known.get(source);
    const fault = faultOf(source, compile);
    if (this.#known.size >= maxCached) this.#known.clear();
    this.#known.set(source, fault);
    return fault;
  }
}

const faults = new FaultCache();
const pathFaults = new FaultCache();

function faultOf(source: string, compile: (source: string, ignoreCase: boolean) => Pattern): string | undefined {
  try {
    compile(source, false);
    return undefined;
  } catch (error) {
    const instead = Object.values(insteadOf).find(({ is }) => is.test(source))?.write;
    return instead ?? (error instanceof Error ? error.message : String(error)).replace(/^error parsing regexp: /, "");
  }
}

/** What PCRE has and no engine can run in proportion to the text. */
const insteadOf: Readonly<Record<string, { readonly is: RegExp; readonly write: string }>> = {
  lookBehind: { is: /\(\?<[=!]/, write: "look-behind cannot be run in linear time: write what comes before as a part of the pattern" },
  lookAhead: {
    is: /\(\?[=!]/,
    write:
      "look-ahead can be run in linear time only behind letters at the start of the pattern, as in /(?!admin)(.*): give what is excluded a longer path of its own, which goes before this one",
  },
  backReference: { is: /\\[1-9]|\\k</, write: "a back-reference cannot be run in linear time: write the alternatives out" },
  atomic: {
    is: /\(\?>|[*+?}]\+/,
    write: "atomic groups and possessive quantifiers are not needed here: nothing is tried twice; write plain ones",
  },
};

/** A path pattern: most are told apart by the letters that they begin with, and compiled only for a path that begins so. */
function pathStart(source: string, ignoreCase: boolean): Pattern {
  let compiled: Pattern | undefined;
  const pattern = (): Pattern => {
    compiled ??= compilePath(source, ignoreCase);
    return compiled;
  };
  const letters = leadingLetters(unanchored(source));
  const { length } = letters;
  const wanted = ignoreCase ? letters.toLowerCase() : letters;
  const begins = ignoreCase
    ? (text: string): boolean => text.slice(0, length).toLowerCase() === wanted
    : (text: string): boolean => text.startsWith(wanted);
  const isFor = (text: string): boolean => {
    if (!begins(text)) return false;
    const { longest } = pattern();
    if (text.length > longest) throw new PathTooLong(source, longest);
    return true;
  };
  return {
    get longest() {
      return pattern().longest;
    },
    test: (text) => isFor(text) && pattern().test(text),
    groups: (text) => (isFor(text) ? pattern().groups(text) : undefined),
  };
}

/** What stands for itself. */
const letter = String.raw`[^\\()[\]{}.*+?|^$]`;

/** Those that each text must begin with, of ASCII; none where a `|` might stand beside them. */
function leadingLetters(source: string): string {
  if (atLevels(source, 0).some(({ char }) => char === "|")) return "";
  const letters = new RegExp(`^${letter}*`).exec(source)?.[0] ?? "";
  // what a quantifier follows may be missing
  const sure = /^[*+?{]/.test(source.slice(letters.length)) ? letters.slice(0, -1) : letters;
  return /^[\x20-\x7e]*$/.test(sure) ? sure : "";
}

function compileAnywhere(source: string, ignoreCase: boolean): Pattern {
  const { rest, ahead } = withoutLookAhead(source);
  return guarded(engineFor(rest, ignoreCase), ahead, ignoreCase);
}

function compilePath(source: string, ignoreCase: boolean): Pattern {
  const { rest, ahead } = withoutLookAhead(`^${unanchored(source)}`);
  return guarded(engineFor(`^(?:${rest.slice(1)})`, ignoreCase), ahead, ignoreCase);
}

/** What is looked for at the start needs not say so itself. */
function unanchored(source: string): string {
  return /^\^(?![*+?{^])/.test(source) ? source.slice(1) : source;
}

function guarded(main: Pattern, ahead: readonly LookAhead[], ignoreCase: boolean): Pattern {
  if (ahead.length === 0) return main;
  const guards = ahead.map(({ wanted, source }) => ({ wanted, pattern: engineFor(source, ignoreCase) }));
  const longest = Math.min(main.longest, ...guards.map(({ pattern }) => pattern.longest));
  const passes = (text: string): boolean => text.length <= longest && guards.every(({ wanted, pattern }) => pattern.test(text) === wanted);
  return {
    longest,
    test: (text) => passes(text) && main.test(text),
    groups: (text) => (passes(text) ? main.groups(text) : undefined),
  };
}

function engineFor(source: string, ignoreCase: boolean): Pattern {
  return isShort(source) ? nativePattern(source, ignoreCase) : linearPattern(source, ignoreCase);
}

function linearPattern(source: string, ignoreCase: boolean): Pattern {
  const compiled = RE2JS.compile(source, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
  const steps = compiled.programSize();
  if (steps > maxSteps) throw new RangeError(`it has ${steps} steps, where ${maxSteps} are the most: write fewer or shorter repetitions`);
  const longest = Math.floor(maxWork / steps);
  return {
    longest,
    test: (text) => text.length <= longest && compiled.test(text),
    groups: (text) => (text.length <= longest ? (compiled.exec(text) ?? undefined) : undefined),
  };
}

function nativePattern(source: string, ignoreCase: boolean): Pattern {
  const compiled = new RegExp(source.replace(/\\.|\[[^\]]*\]|\./g, dotOfRe2), ignoreCase ? "i" : "");
  return {
    longest: Number.POSITIVE_INFINITY,
    test: (text) => compiled.test(text),
    groups: (text) => compiled.exec(text) ?? undefined,
  };
}

/** V8's dot takes no CR, RE2's does: a path with %0D must not slip past the pattern that guards it. */
function dotOfRe2(part: string): string {
  return part === "." ? String.raw`[^\n]` : part;
}

const some = String.raw`(?:\.|\[\^?[\w /.-]+\]|\\[dw])`;
const choice = String.raw`\((?:\?:)?(?:${letter}{0,64}|\$)(?:\|(?:${letter}{0,64}|\$)){0,7}\)`;
const noSlash = String.raw`(?:\[\^/\]|\[(?:a-z|A-Z|0-9|\\[dw]|\w)+\.?-?\]|\\[dw])`;
/** An element of a path: where its slash stands there is no choice, so nothing behind it is tried twice. */
const element = String.raw`\(?${noSlash}[*+]\)?/`;
const literals = String.raw`(?:${letter}|\\[./-])*`;
const shortShape = new RegExp(
  String.raw`^\^(?:\(\?:)?${literals}(?:${choice}${literals}){0,2}(?:${element}${literals}){0,4}(?:\(?${some}[*+]\)?${literals})?\$?\)?\$?$`,
);

/**
 * Of the shape that most are: at the start, letters, two choices of eight at most, a few whole elements of the path, one repetition
 * of one character. It has at most 64 ways to begin, each with one place to turn back at for each character, so V8's own matcher,
 * which tries them all, is as safe, means the same, and takes a tenth of the time.
 */
function isShort(source: string): boolean {
  return source.length <= 512 && shortShape.test(source) && isBalanced(source);
}

interface LookAhead {
  readonly source: string;
  readonly wanted: boolean;
}

/**
 * A look-ahead that stands behind nothing but letters at the start is looked for at one place only, so it is a pattern of its own:
 * `^/(?!a)(.*)` is `^/(.*)` and not `^/(?:a)`. Others stay, and are refused.
 */
function withoutLookAhead(source: string): { readonly rest: string; readonly ahead: readonly LookAhead[] } {
  const start = new RegExp(String.raw`^\^(${letter}*)((?:\((?:\?:)?)*)\(\?([=!])`);
  const ahead: LookAhead[] = [];
  let rest = source;
  for (;;) {
    const found = start.exec(rest);
    const [all = "", letters = "", opened = "", kind] = found ?? [];
    const depth = opened.split("(").length - 1;
    const inner = rest.slice(all.length);
    const end = atLevels(inner, 0).find(({ char, level }) => char === ")" && level === 0)?.at;
    if (found === null || end === undefined) return { rest, ahead };
    const behind = inner.slice(end + 1);
    // where another alternative, or the same again, need not have passed it
    if (/^[*+?{]/.test(behind) || isOneOfSeveral(behind, depth)) return { rest, ahead };
    const what = inner.slice(0, end);
    // what it found would be wanted
    if (kind === "=" && groupCount(what) > 0) return { rest, ahead };
    ahead.push({ source: `^${letters}(?:${what})`, wanted: kind === "=" });
    // its groups are never filled, but they are counted
    rest = `^${letters}${opened}${"()".repeat(groupCount(what))}${behind}`;
  }
}

/** Whether what is behind the look-ahead leads to another alternative of a group around it, or repeats one. */
function isOneOfSeveral(behind: string, depth: number): boolean {
  return atLevels(behind, depth).some(
    ({ char, at, level }) => char === "|" || (char === ")" && level >= 0 && /^[*+?{]/.test(behind.slice(at + 1))),
  );
}

interface Mark {
  readonly char: "(" | ")" | "|";
  readonly at: number;
  /** Groups around it that began before the text; it falls with each that ends. */
  readonly level: number;
}

/** The marks of a text that stand in no group that begins in it: `|`, and the ends of `depth` groups around it and of one more. */
function atLevels(text: string, depth: number): readonly Mark[] {
  const marks: Mark[] = [];
  let level = depth;
  let nested = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "[") at = classEnd(text, at);
    else if (char === "(") nested++;
    else if (char === ")" && nested > 0) nested--;
    else if ((char === ")" || char === "|") && nested === 0) marks.push({ char, at, level: char === ")" ? level-- : level });
  }
  return marks;
}

/** Where the class that begins at `at` ends. */
function classEnd(text: string, at: number): number {
  let end = at + 1;
  if (text[end] === "^") end++;
  // a `]` that comes first stands for itself
  if (text[end] === "]") end++;
  for (; end < text.length && text[end] !== "]"; end++) if (text[end] === "\\") end++;
  return end;
}

function groupCount(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "[") at = classEnd(text, at);
    else if (text[at] === "(" && text[at + 1] !== "?") count++;
  }
  return count;
}

function isBalanced(text: string): boolean {
  return !atLevels(text, 0).some(({ char }) => char === ")") && text.split("(").length === text.split(")").length;
}
