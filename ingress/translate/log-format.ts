import { type LogFormat, type LogPart, loggedNames } from "../route/log-format.ts";
import { isBad, type Parsed } from "./annotation-values.ts";
import { parseWith, requestPart } from "./request-text.ts";

/** `log-format-upstream`: text with nginx's variables; those that are not known here are told. */
export function parseLogFormat(text: string): Parsed<LogFormat> {
  // ${name} keeps a name apart from what follows it; line ends would end the entry
  if (/[\r\n]/.test(text)) return { expected: "one line" };
  const parts = parseWith(text, (name): LogPart | undefined => {
    const logged = loggedNames.find((n) => n === name);
    if (logged !== undefined) return { kind: "logged", name: logged };
    const part = requestPart(name);
    // a line is one for all routes
    return part?.kind === "route" ? undefined : part;
  });
  return isBad(parts) ? parts : { parts, escape: "default" };
}
