import type { ConfigMap } from "../../src/api/types/core-v1.generated.ts";
import type { HeaderField } from "../route/filter.ts";
import type { TextPart } from "../route/request-text.ts";
import { isBad, parseText, parseToken } from "./annotation-values.ts";
import { parseRequestText } from "./request-text.ts";

/** Headers that frame a message or are of one hop: nobody may set them. */
const untouchable: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export interface HeaderMap<H> {
  readonly headers: readonly H[];
  /** What was left out, and why. */
  readonly faults: readonly string[];
}

/** The headers of a ConfigMap: its keys are names. */
export function readHeaders(map: ConfigMap, isAllowed: (name: string) => boolean = () => true): HeaderMap<HeaderField> {
  const headers: HeaderField[] = [];
  const faults: string[] = [];
  for (const [name, value] of Object.entries(map.data ?? {})) {
    const fault = faultOf(name, value) ?? (isAllowed(name.toLowerCase()) ? undefined : "global-allowed-response-headers does not name it");
    if (fault === undefined) headers.push({ name, value: value.trim() });
    else faults.push(`${name}: ${fault}`);
  }
  return { headers, faults };
}

export interface FilledHeader {
  readonly name: string;
  readonly value: readonly TextPart[];
}

/** The same for headers in whose values variables stand. */
export function readFilledHeaders(map: ConfigMap): HeaderMap<FilledHeader> {
  const { headers, faults } = readHeaders(map);
  const filled: FilledHeader[] = [];
  const wrong = [...faults];
  for (const { name, value } of headers) {
    const parts = parseRequestText(value);
    if (isBad(parts)) wrong.push(`${name}: "${value}" is not ${parts.expected}`);
    else filled.push({ name, value: parts });
  }
  return { headers: filled, faults: wrong };
}

function faultOf(name: string, value: string): string | undefined {
  if (isBad(parseToken(name))) return "no name of a header";
  if (untouchable.has(name.toLowerCase())) return "it frames the message, and cannot be set";
  return isBad(parseText(value.trim())) ? "its value has control characters" : undefined;
}
