/** Why this room refuses or fails; the message says what was asked of the kernel. */
export const kernelErrorCodes = {
  "command-missing": "a program this needs is not installed",
  "command-failed": "a program ended with an error",
  "call-failed": "a call of the kernel was refused",
} as const;
export type KernelErrorCode = keyof typeof kernelErrorCodes;

export class KernelError extends Error {
  readonly code: KernelErrorCode;
  constructor(code: KernelErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "KernelError";
    this.code = code;
  }
}

export function isKernelError(error: unknown, code?: KernelErrorCode): error is KernelError {
  return error instanceof KernelError && (code === undefined || error.code === code);
}
