/** Why this room refuses or fails; the message names the object or the setting and what to look at. */
export const nodeErrorCodes = {
  "range-overlaps": "an address range is in use on this machine, or two ranges of the cluster overlap",
  "range-too-small": "an address range has no room for what was asked",
  "name-taken": "a link or namespace of that name exists and is not ours",
  "images-file": "the images file cannot be read or understood",
  "pod-config": "a pod refers to something that does not exist or that this node cannot give",
  "runtime-failed": "a container could not be created or started",
  "image-missing": "no entry of the images file and no built-in image matches",
} as const;
export type NodeErrorCode = keyof typeof nodeErrorCodes;

export class NodeError extends Error {
  readonly code: NodeErrorCode;
  constructor(code: NodeErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "NodeError";
    this.code = code;
  }
}

export function isNodeError(error: unknown, code?: NodeErrorCode): error is NodeError {
  return error instanceof NodeError && (code === undefined || error.code === code);
}
