import type { LogClass, LogConfig } from "../corefile/plugins/observation.ts";
import { encodeMessage, type Message } from "../wire/message.ts";
import { canonicalName } from "../wire/name.ts";
import { printClass, printRcode, printType, rcodes } from "../wire/record-type.ts";
import type { DnsContext, Query, Wrap } from "./handler.ts";
import { closestZone } from "./zone-match.ts";

/** A line for each query of the zones, when its answer is of a class that was asked for. */
export function logQueries(configs: readonly LogConfig[], now: () => number, write: (line: string) => void): Wrap {
  return (next) => async (q, c) => {
    const name = canonicalName(q.question.name);
    const config = configs.find((l) => closestZone(name, l.zones) !== undefined);
    if (config === undefined) return next(q, c);
    const started = now();
    const answer = await next(q, c);
    const isWanted = config.classes.includes("all") || config.classes.includes(classOf(answer));
    if (isWanted) write(printLine(config.format, q, answer, c, (now() - started) / 1000));
    return answer;
  };
}

function classOf(m: Message): LogClass {
  if (m.rcode === rcodes.NXDOMAIN || (m.rcode === rcodes.NOERROR && m.answers.length === 0)) return "denial";
  return m.rcode === rcodes.NOERROR ? "success" : "error";
}

/** Names in braces become what they stand for; what is not known, `-`. */
function printLine(format: string, q: Query, answer: Message, c: DnsContext, seconds: number): string {
  const size = (m: Message): number => encodeMessage(m).length;
  const flags = (): string =>
    [
      answer.isResponse && "qr",
      answer.authoritative && "aa",
      answer.truncated && "tc",
      answer.recursionDesired && "rd",
      answer.recursionAvailable && "ra",
      answer.authenticData && "ad",
      answer.checkingDisabled && "cd",
    ]
      .filter((f) => f !== false)
      .join(",");
  const fields: Readonly<Record<string, () => string | number | boolean>> = {
    type: () => printType(q.question.type),
    name: () => q.question.name,
    class: () => printClass(q.question.class),
    proto: () => q.transport,
    remote: () => (q.client.includes(":") ? `[${q.client}]` : q.client),
    local: () => q.server?.ip ?? "-",
    port: () => q.clientPort ?? 0,
    size: () => size(q.message),
    rcode: () => printRcode(answer.rcode),
    rsize: () => size(answer),
    duration: () => `${Number(seconds.toPrecision(6))}s`,
    ">rflags": flags,
    ">bufsize": () => q.message.edns?.udpSize ?? 512,
    ">do": () => q.message.edns?.dnssecOk ?? false,
    ">id": () => q.message.id,
    ">opcode": () => q.message.opcode,
  };
  return format.replace(/\{([^}]+)\}/g, (_, key: string) => {
    const text = key.startsWith("/") ? (c.metadata.get(key.slice(1)) ?? "-") : Object.hasOwn(fields, key) ? String(fields[key]?.()) : "-";
    // one query is one line, whatever its name
    return text.replace(/[^ -~]/g, (ch) => `\\${String(ch.charCodeAt(0)).padStart(3, "0")}`);
  });
}
