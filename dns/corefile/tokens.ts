import { CorefileError } from "./errors.ts";

/** Where something stands; lines from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** A word of a Corefile. */
export interface Token extends Place {
  readonly text: string;
  /** The first of its line. */
  readonly startsLine: boolean;
}

/** Values for `{$NAME}` and `{%NAME%}`. */
export type Environment = Readonly<Record<string, string | undefined>>;

const variable = /\{\$([^}\s]*)\}|\{%([^%\s]*)%\}/g;

/**
 * Words are parted by blanks; `#` at a word's start begins a comment; a word in double quotes may hold blanks and ends of
 * lines, and `\"` in it is a quote. A variable of the environment is what it stands for, several words outside quotes;
 * one that is not set is nothing.
 */
export function readTokens(text: string, file: string, env: Environment): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let startsLine = true;
  const push = (word: string, at: number): void => {
    tokens.push({ text: word, file, line: at, startsLine });
    startsLine = false;
  };
  const expand = (word: string): string =>
    word.replace(variable, (_, dollar?: string, percent?: string) => env[dollar ?? percent ?? ""] ?? "");
  for (let i = 0; i < text.length; ) {
    const c = text[i] ?? "";
    if (c === "\n") {
      line++;
      startsLine = true;
      i++;
    } else if (/\s/.test(c) || c === "\uFEFF") {
      i++;
    } else if (c === "#") {
      while (i < text.length && text[i] !== "\n") i++;
    } else if (c === '"') {
      const began = line;
      let word = "";
      for (i++; text[i] !== '"'; i++) {
        if (i >= text.length) throw new CorefileError("syntax", { file, line: began }, "a quote is not closed");
        if (text[i] === "\n") line++;
        if (text[i] === "\\" && text[i + 1] === '"') i++;
        word += text[i] ?? "";
      }
      i++;
      push(expand(word), began);
    } else {
      const end = /[\s]|$/.exec(text.slice(i))?.index ?? 0;
      const word = text.slice(i, i + end);
      i += end;
      const expanded = expand(word);
      if (expanded === word) push(word, line);
      else for (const part of expanded.split(/\s+/).filter((p) => p !== "")) push(part, line);
    }
  }
  return tokens;
}
