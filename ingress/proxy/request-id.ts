import { headerValue } from "../route/request-head.ts";

/** The client's own id, if it is a sane one, else a new one: 32 hex digits, as nginx makes them. `random` is in [0, 1). */
export function requestIdOf(fields: readonly string[], random: () => number): string {
  const given = headerValue(fields, "x-request-id");
  if (given !== undefined && /^[!-~]{1,128}$/.test(given)) return given;
  let id = "";
  for (let i = 0; i < 8; i++) {
    const bits = Math.floor(random() * 65536);
    id += (hexBytes[bits >> 8] ?? "00") + (hexBytes[bits & 255] ?? "00");
  }
  return id;
}

/** Printing a number costs more than finding it here. */
const hexBytes = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"));
