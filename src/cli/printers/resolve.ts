import type { PrintedRecord, Resolution } from "../../../dns/index.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";

export function printResolve(format: OutputFormat | undefined, resolution: Resolution): string {
  return printAnswer(format, {
    data: resolution,
    text: () => `${records("", resolution.answers)}${verdict(resolution)}`,
    wide: () =>
      `${records("answer", resolution.answers)}${records("authority", resolution.authority)}${records("additional", resolution.additional)}${verdict(resolution)}`,
    names: () => resolution.answers.map((r) => r.data),
  });
}

/** Zone-file lines, in columns. */
function records(section: string, list: readonly PrintedRecord[]): string {
  if (list.length === 0) return "";
  const widest = Math.max(...list.map((r) => r.name.length));
  const lines = list.map((r) => `${r.name.padEnd(widest)}  ${String(r.ttl).padStart(4)}  ${r.type.padEnd(5)}  ${r.data}\n`);
  return `${section === "" ? "" : `;; ${section}\n`}${lines.join("")}`;
}

function verdict({ rcode, authoritative, answers, handlers }: Resolution): string {
  const by = handlers.length === 0 ? "" : ` by ${handlers.join(", ")}`;
  if (rcode === "REFUSED") return ";; REFUSED here: no name of the cluster; a running server asks its upstreams\n";
  const empty = rcode === "NOERROR" && answers.length === 0 ? " (the name exists, but has no such record)" : "";
  return `;; ${rcode}${empty}${authoritative ? ", authoritative" : ""}${by}\n`;
}
