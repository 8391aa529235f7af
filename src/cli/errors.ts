/** What a command line can fail with, and the exit status of each. */
export const cliErrors = {
  /** The command line itself is wrong. */
  Usage: 2,
  /** A file or object that was given is wrong. */
  Input: 2,
  /** The client room's word for a kubeconfig that is missing or wrong. */
  kubeconfig: 2,
  /** The node room's word for an images file that cannot be understood. */
  "images-file": 2,
  /** The question was answered, and `--fail` says that this answer is a failure. */
  Answer: 1,
  /** The work could not be done: no cluster, no right, no answer. */
  Work: 1,
} as const;
export type CliErrorCode = keyof typeof cliErrors;

/** Printed as one line on stderr: what is wrong, where, and what to do. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: CliErrorCode;

  constructor(code: CliErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export function usageError(message: string): CliError {
  return new CliError("Usage", message);
}

export function inputError(message: string, cause?: unknown): CliError {
  return new CliError("Input", message, { cause });
}

export function workError(message: string, cause?: unknown): CliError {
  return new CliError("Work", message, { cause });
}

/** 1 or 2. Errors of other rooms say by their `code` that they are about usage or input; all else is 1. */
export function exitStatusOf(error: unknown): number {
  const code = codeOf(error);
  return code !== undefined && Object.hasOwn(cliErrors, code) ? cliErrors[code as CliErrorCode] : 1;
}

/** One line, with the causes that add something. */
export function printError(error: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = error; e !== undefined && parts.length < 4; e = e instanceof Error ? e.cause : undefined) {
    const text = e instanceof Error ? e.message || e.name : JSON.stringify(e);
    if (!parts.some((p) => p.includes(text))) parts.push(text);
  }
  return parts.join(": ").replace(/\s*\p{Cc}+\s*/gu, " ");
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" ? code : undefined;
}
