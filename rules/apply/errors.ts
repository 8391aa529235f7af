/** Why a transaction was not applied. Nothing of it is in force, whatever the code. */
export type ApplyErrorCode =
  /** The kernel refused what was asked: the same transaction will fail again. */
  | "REFUSED"
  /** The tables are not as thought (something that should be there is not, or the reverse): read them again. */
  | "DIVERGED"
  /** Out of memory or buffers, or the command could not be run: may work later. */
  | "UNAVAILABLE"
  /** This process may not program the kernel, or the kernel or command lacks nf_tables. */
  | "UNUSABLE";

export class ApplyError extends Error {
  readonly code: ApplyErrorCode;
  /** The group whose element was refused, where the kernel said so. */
  readonly owner: string | undefined;

  constructor(code: ApplyErrorCode, message: string, options: { readonly owner?: string | undefined; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ApplyError";
    this.code = code;
    this.owner = options.owner;
  }
}

export function isApplyError(error: unknown): error is ApplyError {
  return error instanceof ApplyError;
}
