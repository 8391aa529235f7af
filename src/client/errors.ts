import type { Status } from "../api/types/meta-v1.generated.ts";

/** Faults of the client room that are no answer of the API. */
export const clientErrors = {
  kubeconfig: "a kubeconfig is missing or wrong",
  credentials: "credentials could not be had (a file or an exec plugin)",
  connection: "the API server could not be reached",
  protocol: "the API server's answer is not what the Kubernetes API sends",
} as const;
export type ClientErrorCode = keyof typeof clientErrors;

export class ClientError extends Error {
  readonly code: ClientErrorCode;

  constructor(code: ClientErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ClientError";
    this.code = code;
  }
}

/** An answer of the API that is not 2xx: a `Status` object, or what could be made of it. */
export class ApiError extends Error {
  /** The HTTP status. */
  readonly code: number;
  /** The machine word of the Status: `NotFound`, `Conflict`, `Expired`. Empty when the answer was no Status. */
  readonly reason: string;
  readonly status: Status;
  /** When the server said how long to wait. */
  readonly retryAfterSeconds: number | undefined;

  constructor(status: Status, code: number, retryAfterSeconds?: number) {
    super(status.message ?? `HTTP ${code}`);
    this.name = "ApiError";
    this.code = code;
    this.reason = status.reason ?? "";
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds ?? status.details?.retryAfterSeconds;
  }
}

export function isNotFound(e: unknown): boolean {
  return e instanceof ApiError && e.code === 404;
}

/** Somebody else wrote first: read again, then try again. */
export function isConflict(e: unknown): boolean {
  return e instanceof ApiError && e.code === 409 && e.reason !== "AlreadyExists";
}

export function isAlreadyExists(e: unknown): boolean {
  return e instanceof ApiError && e.code === 409 && e.reason === "AlreadyExists";
}

/** The resourceVersion or continue token is too old. */
export function isGone(e: unknown): boolean {
  return e instanceof ApiError && (e.code === 410 || e.reason === "Expired" || e.reason === "Gone");
}

export function isForbidden(e: unknown): boolean {
  return e instanceof ApiError && (e.code === 403 || e.code === 401);
}

/** The object or the parameters are refused: trying the same again will not help. */
export function isInvalid(e: unknown): boolean {
  return e instanceof ApiError && (e.code === 422 || e.code === 400);
}
