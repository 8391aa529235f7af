import { causeReason, type FieldError, printFieldErrorBody, printFieldErrors } from "./field-error.ts";
import { qualifiedKind, qualifiedName, type Resource } from "./scheme.ts";
import type { Status, StatusDetails } from "./types/meta-v1.generated.ts";

/** What messages need to know of a resource. */
export type Named = Pick<Resource, "group" | "plural" | "kind">;

/** A refusal of the API: what the client gets as a Status. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details?: StatusDetails;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.reason = reason;
    if (details !== undefined) this.details = details;
  }

  toStatus(): Status {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

export function isApiError(error: unknown): error is ApiError {
  return error instanceof ApiError;
}

export function isNotFound(error: unknown): boolean {
  return isApiError(error) && error.reason === "NotFound";
}

export function isConflict(error: unknown): boolean {
  return isApiError(error) && error.reason === "Conflict";
}

export function isAlreadyExists(error: unknown): boolean {
  return isApiError(error) && error.reason === "AlreadyExists";
}

export function notFound(resource: Named, name: string): ApiError {
  return new ApiError(404, "NotFound", `${qualifiedName(resource)} ${quote(name)} not found`, details(resource, name));
}

/** For a path that names nothing at all. */
export function notFoundPath(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource", {});
}

export function alreadyExists(resource: Named, name: string): ApiError {
  return new ApiError(409, "AlreadyExists", `${qualifiedName(resource)} ${quote(name)} already exists`, details(resource, name));
}

/** `why` completes `Operation cannot be fulfilled on …:`; the default is what a stale resourceVersion gets. */
export function conflict(resource: Named, name: string, why = staleVersion): ApiError {
  const message = `Operation cannot be fulfilled on ${qualifiedName(resource)} ${quote(name)}: ${why}`;
  return new ApiError(409, "Conflict", message, details(resource, name));
}

export const staleVersion = "the object has been modified; please apply your changes to the latest version and try again";

/** 422, with every field as a cause of its own. `name` may be empty. */
export function invalid(resource: Named, name: string, errors: readonly FieldError[]): ApiError {
  const head = `${qualifiedKind(resource)} ${quote(name)} is invalid`;
  const causes = errors.map((e) => ({ reason: causeReason(e), message: printFieldErrorBody(e), field: e.field }));
  return new ApiError(422, "Invalid", errors.length === 0 ? head : `${head}: ${printFieldErrors(errors)}`, {
    ...(name === "" ? {} : { name }),
    ...(resource.group === "" ? {} : { group: resource.group }),
    kind: resource.kind,
    ...(causes.length === 0 ? {} : { causes }),
  });
}

/** 422 for what was asked beside the object, in the query. */
export function invalidOptions(kind: string, errors: readonly FieldError[]): ApiError {
  return invalid({ group: "meta.k8s.io", plural: "", kind }, "", errors);
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequest", message);
}

/** `why` completes `pods "x" is forbidden:`; without a name the message names the resource only. */
export function forbidden(resource: Named | undefined, name: string, why: string): ApiError {
  if (resource === undefined) return new ApiError(403, "Forbidden", `forbidden: ${why}`, {});
  const what = name === "" ? qualifiedName(resource) : `${qualifiedName(resource)} ${quote(name)}`;
  return new ApiError(403, "Forbidden", `${what} is forbidden: ${why}`, details(resource, name));
}

export function unauthorized(message = "Unauthorized"): ApiError {
  return new ApiError(401, "Unauthorized", message);
}

export function methodNotAllowed(resource: Named | undefined, action: string): ApiError {
  if (resource === undefined)
    return new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {});
  const message = `${action} is not supported on resources of kind ${quote(qualifiedName(resource))}`;
  return new ApiError(405, "MethodNotAllowed", message, details(resource, ""));
}

export function notAcceptable(accepted: readonly string[]): ApiError {
  return new ApiError(406, "NotAcceptable", `only the following media types are accepted: ${accepted.join(", ")}`);
}

/** A resourceVersion or continue token that is too old: the client lists again. */
export function gone(message: string): ApiError {
  return new ApiError(410, "Expired", message);
}

export function tooLarge(message: string): ApiError {
  return new ApiError(413, "RequestEntityTooLarge", `Request entity too large: ${message}`);
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  return new ApiError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  );
}

/** 422 without fields: a patch that cannot be applied, for example. */
export function unprocessable(message: string): ApiError {
  return new ApiError(422, "Invalid", message, {});
}

export function tooManyRequests(message: string, retryAfterSeconds: number): ApiError {
  return new ApiError(429, "TooManyRequests", message, { retryAfterSeconds });
}

export function internal(message: string): ApiError {
  return new ApiError(500, "InternalError", `Internal error occurred: ${message}`, { causes: [{ message }] });
}

export function unavailable(message: string): ApiError {
  return new ApiError(503, "ServiceUnavailable", message);
}

export function timeout(message: string, retryAfterSeconds = 0): ApiError {
  return new ApiError(504, "Timeout", `Timeout: ${message}`, retryAfterSeconds === 0 ? {} : { retryAfterSeconds });
}

function details(resource: Named, name: string): StatusDetails {
  return {
    ...(name === "" ? {} : { name }),
    ...(resource.group === "" ? {} : { group: resource.group }),
    kind: resource.plural,
  };
}

function quote(text: string): string {
  return JSON.stringify(text);
}
