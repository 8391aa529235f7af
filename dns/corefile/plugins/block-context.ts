import type { DomainName } from "../../wire/name.ts";
import type { Words } from "../words.ts";

/** What a plugin's line is read with. */
export interface BlockContext {
  /** Zones of its server block, canonical: what a plugin without zones of its own is for. */
  readonly zones: readonly DomainName[];
  /** Makes a path absolute. */
  readonly resolvePath: (path: string) => string;
}

export function zonesOr(words: Words, block: BlockContext): readonly DomainName[] {
  return words.left === 0 ? block.zones : words.zones();
}

/** For which names a plugin that knows no answer asks the next one. */
export interface Fallthrough {
  readonly zones: readonly DomainName[];
}

export function readFallthrough(words: Words): Fallthrough {
  return { zones: words.left === 0 ? ["."] : words.zones() };
}

/** `ADDRESS:PORT`, `:PORT` or `PORT` for an endpoint of HTTP. */
export interface HttpAddress {
  /** Empty: all. */
  readonly host: string;
  readonly port: number;
}

export function readHttpAddress(words: Words, or: HttpAddress): HttpAddress {
  const text = words.maybe();
  if (text === undefined) return or;
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? Number.NaN);
  if (match === null || port > 65535) return words.fail(`${text} is not ADDRESS:PORT`);
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "localhost" ? "127.0.0.1" : host, port };
}
