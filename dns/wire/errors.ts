/** Why bytes or text are not DNS. The table is counted by a test. */
export const parseErrorCodes = {
  truncated: "the message ends inside a field",
  "bad-pointer": "a compression pointer does not point backwards",
  "bad-label": "a label has a reserved type or more than 63 bytes",
  "name-too-long": "a name has more than 255 bytes",
  "bad-count": "a section counts more records than the message can hold",
  "bad-record": "a record's data does not fit its type",
  "bad-option": "an EDNS option runs over its record",
  "several-options": "a message has more than one OPT record",
  "trailing-bytes": "bytes follow the last record",
  "bad-text": "a line is not a record in zone-file form",
} as const;
export type ParseErrorCode = keyof typeof parseErrorCodes;

/** Foreign bytes or text that are not what they should be; never thrown for what this program made itself. */
export class ParseError extends Error {
  readonly code: ParseErrorCode;

  constructor(code: ParseErrorCode, detail?: string) {
    super(detail === undefined ? parseErrorCodes[code] : `${parseErrorCodes[code]}: ${detail}`);
    this.name = "ParseError";
    this.code = code;
  }
}

export function isParseError(error: unknown): error is ParseError {
  return error instanceof ParseError;
}
