import type { ConfigMap } from "../../src/api/types/core-v1.generated.ts";
import type { FilledHeader } from "../route/filter.ts";
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

export interface HeaderMap {
  readonly headers: readonly FilledHeader[];
  /** What was left out, and why. */
  readonly faults: readonly string[];
}

/** The headers of a ConfigMap: its keys are names, and in its values variables may stand. */
export function readHeaders(map: ConfigMap, isAllowed: (name: string) => boolean = () => true): HeaderMap {
  const headers: FilledHeader[] = [];
  const faults: string[] = [];
  for (const [name, value] of Object.entries(map.data ?? {})) {
    const fault = faultOf(name, value) ?? (isAllowed(name.toLowerCase()) ? undefined : "global-allowed-response-headers does not name it");
    const parts = parseRequestText(value.trim());
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
    else if (isBad(parts)) faults.push(`${name}: "${value}" is not ${parts.expected}`);
    else headers.push({ name, value: parts });
  }
  return { headers, faults };
}

function faultOf(name: string, value: string): string | undefined {
  if (isBad(parseToken(name))) return "no name of a header";
  if (untouchable.has(name.toLowerCase())) return "it frames the message, and cannot be set";
  return isBad(parseText(value.trim())) ? "its value has control characters" : undefined;
}
