import { CorefileError } from "./errors.ts";
import { type Environment, type Place, readTokens, type Token } from "./tokens.ts";

/** A line of a plugin's block: its option and what follows. */
export interface OptionLine extends Place {
  readonly name: string;
  readonly words: readonly Token[];
}

/** A plugin's line in a server block. */
export interface Directive extends Place {
  readonly name: string;
  readonly words: readonly Token[];
  readonly options: readonly OptionLine[];
}

/** `example.org:53 tls://. { … }`, with imports and snippets laid in. */
export interface ServerBlock extends Place {
  readonly keys: readonly Token[];
  readonly directives: readonly Directive[];
}

/** What the text's surroundings give it. */
export interface CorefileSurroundings {
  readonly env?: Environment;
  /** Files that `import PATTERN` in `from` stands for, in order; none when nothing matches. May throw. */
  readonly readImport?: (pattern: string, from: string) => readonly { readonly file: string; readonly text: string }[];
}

/** More than this and a file imports itself. */
const maxImports = 200;

/** The server blocks of a Corefile. Throws a CorefileError. */
export function parseCorefile(text: string, file: string, around: CorefileSurroundings = {}): readonly ServerBlock[] {
  return new Parser(readTokens(text, file, around.env ?? {}), { file, line: 1 }, around).blocks();
}

class Parser {
  #tokens: readonly Token[];
  #at = 0;
  #imports = 0;
  #last: Place;
  readonly #around: CorefileSurroundings;
  readonly #snippets = new Map<string, readonly Token[]>();

  constructor(tokens: readonly Token[], start: Place, around: CorefileSurroundings) {
    this.#tokens = tokens;
    this.#last = start;
    this.#around = around;
  }

  blocks(): readonly ServerBlock[] {
    const blocks: ServerBlock[] = [];
    for (let token = this.#peek(); token !== undefined; token = this.#peek()) {
      if (token.text === "import") this.#import();
      else if (/^\(.*\)$/.test(token.text)) this.#snippet();
      else blocks.push(this.#block());
    }
    return blocks;
  }

  #block(): ServerBlock {
    const keys: Token[] = [];
    const first = this.#next();
    let more = true;
    for (let token: Token | undefined = first; token !== undefined && token.text !== "{"; token = this.#next()) {
      if (token.text === "}") throw new CorefileError("syntax", token, "there is no open block to close");
      more = token.text.endsWith(",");
      const key = token.text.replace(/,$/, "");
      if (key !== "") keys.push({ ...token, text: key });
      const following = this.#peek();
      if (following === undefined || (following.startsLine && !more)) {
        // without braces all that follows belongs to the one block there is
        return { ...placeOf(first ?? this.#last), keys, directives: this.#directives("end") };
      }
    }
    if (keys.length === 0) throw new CorefileError("syntax", this.#last, "a server block begins with the zones it serves");
    return { ...placeOf(keys[0] ?? this.#last), keys, directives: this.#directives("brace") };
  }

  #directives(until: "brace" | "end"): readonly Directive[] {
    const opened = this.#last;
    const directives: Directive[] = [];
    for (;;) {
      const token = this.#peek();
      if (token === undefined) {
        if (until === "end") return directives;
        throw new CorefileError("syntax", opened, "this server block is not closed");
      }
      if (token.text === "}" && until === "brace") {
        this.#next();
        return directives;
      }
      if (token.text === "import") this.#import();
      else directives.push(this.#directive());
    }
  }

  #directive(): Directive {
    const name = this.#next();
    if (name === undefined || name.text === "{" || name.text === "}") {
      throw new CorefileError("syntax", name ?? this.#last, `${name?.text ?? "the end"} where a plugin's name should be`);
    }
    const words = this.#words();
    const options: OptionLine[] = [];
    if (this.#peek()?.text === "{" && this.#peek()?.startsLine === false) {
      this.#next();
      for (let token = this.#peek(); ; token = this.#peek()) {
        if (token === undefined) throw new CorefileError("syntax", name, `the block of ${name.text} is not closed`);
        if (token.text === "}") break;
        if (token.text === "{") throw new CorefileError("syntax", token, `a block in the block of ${name.text}`);
        if (token.text === "import") {
          this.#import();
          continue;
        }
        this.#next();
        options.push({ ...placeOf(token), name: token.text, words: this.#words() });
      }
      this.#next();
      const behind = this.#peek();
      if (behind?.startsLine === false && behind.text !== "}")
        throw new CorefileError("syntax", behind, `${behind.text} behind a closed block`);
    }
    return { ...placeOf(name), name: name.text, words, options };
  }

  /** To the end of the line, or a brace. */
  #words(): readonly Token[] {
    const words: Token[] = [];
    for (
      let token = this.#peek();
      token !== undefined && !token.startsLine && token.text !== "{" && token.text !== "}";
      token = this.#peek()
    ) {
      words.push(token);
      this.#next();
    }
    return words;
  }

  #snippet(): void {
    const name = this.#next();
    const open = this.#next();
    if (name === undefined || open?.text !== "{")
      throw new CorefileError("syntax", name ?? this.#last, `snippet ${name?.text} has no block`);
    const tokens: Token[] = [];
    for (let depth = 1; ; ) {
      const token = this.#next();
      if (token === undefined) throw new CorefileError("syntax", name, `snippet ${name.text} is not closed`);
      if (token.text === "{") depth++;
      if (token.text === "}") depth--;
      if (depth === 0) break;
      tokens.push(token);
    }
    this.#snippets.set(name.text.slice(1, -1), tokens);
  }

  /** Lays what is imported in its place: a snippet, or files. */
  #import(): void {
    const at = this.#next() ?? this.#last;
    const [what, ...rest] = this.#words();
    if (what === undefined || rest.length > 0) throw new CorefileError("syntax", at, "import takes one snippet, file or pattern");
    if (++this.#imports > maxImports) throw new CorefileError("import", at, `import ${what.text}: it seems to import itself`);
    this.#tokens = [...this.#imported(what.text, at), ...this.#tokens.slice(this.#at)];
    this.#at = 0;
  }

  #imported(what: string, at: Place): readonly Token[] {
    const snippet = this.#snippets.get(what);
    if (snippet !== undefined) return snippet.map((t, i) => (i === 0 ? { ...t, startsLine: true } : t));
    try {
      const files = this.#around.readImport?.(what, at.file) ?? [];
      // as a pattern may match nothing, so a plain name may not
      if (files.length === 0 && !/[*?[]/.test(what)) {
        const known = Array.from(this.#snippets.keys());
        throw new Error(`no such file or snippet${known.length === 0 ? "" : `; snippets so far: ${known.join(", ")}`}`);
      }
      return files.flatMap((f) => readTokens(f.text, f.file, this.#around.env ?? {}));
    } catch (error) {
      if (error instanceof CorefileError) throw error;
      throw new CorefileError("import", at, `import ${what}: ${error instanceof Error ? error.message : String(error)}`, error);
    }
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #next(): Token | undefined {
    const token = this.#tokens[this.#at];
    if (token === undefined) return undefined;
    this.#at++;
    this.#last = placeOf(token);
    return token;
  }
}

function placeOf(at: Place): Place {
  return { file: at.file, line: at.line };
}
