/** A label of host names in lower case (RFC 1123 section 2.1). */
export function isLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}

/** A name as text with its last dot has one byte less than on the wire, where 255 are the most (RFC 1035 section 2.3.4). */
export const maxNameLength = 254;
