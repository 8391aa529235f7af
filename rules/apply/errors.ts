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

export interface ApplyErrorOptions {
  readonly owner?: string | undefined;
  readonly others?: readonly ApplyError[];
  readonly cause?: unknown;
}

export class ApplyError extends Error {
  readonly code: ApplyErrorCode;
  /** The group whose element was refused, where the kernel said so. */
  readonly owner: string | undefined;
  /** What else of the same transaction was refused, where the kernel says so of each. */
  readonly others: readonly ApplyError[];

  constructor(code: ApplyErrorCode, message: string, options: ApplyErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ApplyError";
    this.code = code;
    this.owner = options.owner;
    this.others = options.others ?? [];
  }
}

export function isApplyError(error: unknown): error is ApplyError {
  return error instanceof ApplyError;
}

/** The first of what one transaction failed with; of a refusal, with all others of its kind. */
export function joinRefusals(first: ApplyError, others: readonly ApplyError[]): ApplyError {
  if (first.code !== "REFUSED") return first;
  const refused = others.filter((error) => error.code === "REFUSED");
  return new ApplyError("REFUSED", first.message, { owner: first.owner, others: refused, cause: first.cause });
}
