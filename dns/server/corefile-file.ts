import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { type DnsBlocks, readCorefile } from "../corefile/server-blocks.ts";
import type { Environment } from "../corefile/tokens.ts";

/** A Corefile with all it imports. */
export interface LoadedCorefile {
  readonly blocks: DnsBlocks;
  /** Equal when no text is another. */
  readonly digest: string;
}

/**
 * Reads a Corefile. Relative paths in it begin at its folder, imports at that of the file they stand in. Throws a CorefileError that
 * tells file (as it is `called`) and line, or what `readFileSync` throws for the file itself.
 */
export function loadCorefile(file: string, env: Environment = process.env, called: string = file): LoadedCorefile {
  const path = resolve(file);
  const hash = createHash("sha256");
  const read = (at: string): string => {
    const text = readFileSync(at, "utf8");
    hash.update(`${at}\0${text}\0`);
    return text;
  };
  const text = read(path);
  const blocks = readCorefile(text, called, {
    folder: dirname(path),
    env,
    readImport: (pattern, from) => {
      const cwd = dirname(resolve(dirname(path), from));
      const found = /[*?[]/.test(pattern) ? globSync(pattern, { cwd }).sort() : [pattern];
      return found.map((name) => {
        const own = isAbsolute(name) ? name : resolve(cwd, name);
        return { file: own, text: read(own) };
      });
    },
  });
  return { blocks, digest: hash.digest("hex") };
}
