/** Why an upstream gave no answer. The table is counted by a test. */
export const upstreamErrorCodes = {
  timeout: "no answer in time",
  unreachable: "the server cannot be reached",
  "bad-answer": "the server's answer is not to the question",
  closed: "forwarding is closed",
} as const;
export type UpstreamErrorCode = keyof typeof upstreamErrorCodes;

/** `upstream` is where it was asked, as address:port. */
export class UpstreamError extends Error {
  readonly code: UpstreamErrorCode;

  constructor(code: UpstreamErrorCode, upstream: string, cause?: unknown) {
    super(`DNS server ${upstream}: ${upstreamErrorCodes[code]}`, cause === undefined ? undefined : { cause });
    this.name = "UpstreamError";
    this.code = code;
  }
}

export function isUpstreamError(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError;
}
