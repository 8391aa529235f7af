import type { Place } from "./tokens.ts";

/** What can be wrong with a Corefile. The table is counted by a test. */
export const corefileErrorCodes = {
  syntax: "the text is no Corefile",
  "unknown-plugin": "no plugin has this name",
  "unknown-option": "the plugin has no such option",
  "bad-value": "a value is not what stands there",
  conflict: "two lines say different things",
  import: "what is imported cannot be had",
} as const;
export type CorefileErrorCode = keyof typeof corefileErrorCodes;

/** A fault in a Corefile; the message begins with file and line. */
export class CorefileError extends Error {
  readonly code: CorefileErrorCode;
  readonly file: string;
  readonly line: number;

  constructor(code: CorefileErrorCode, at: Place, message: string, cause?: unknown) {
    super(`${at.file}:${at.line}: ${message}`, cause === undefined ? undefined : { cause });
    this.name = "CorefileError";
    this.code = code;
    this.file = at.file;
    this.line = at.line;
  }
}

export function isCorefileError(error: unknown): error is CorefileError {
  return error instanceof CorefileError;
}
