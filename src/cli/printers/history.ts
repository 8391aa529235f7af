import type { HistoryCause, ServiceEffect } from "../../../rules/index.ts";
import type { ToldEntry } from "../../daemon/history-answer.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";
import { printTable } from "./table.ts";

export type HistoryRow = ToldEntry & { readonly node: string };

export function printHistory(format: OutputFormat | undefined, rows: readonly HistoryRow[]): string {
  return printAnswer(format, {
    data: rows,
    text: () => historyText(rows, { wide: false }),
    wide: () => historyText(rows, { wide: true }),
    names: () => [...new Set(rows.flatMap((r) => r.services.map((s) => s.service)))],
  });
}

function historyText(rows: readonly HistoryRow[], { wide }: { readonly wide: boolean }): string {
  if (rows.length === 0) return "No transaction of Service rules is remembered that fits.\n";
  return printTable<HistoryRow>(
    [
      { title: "TIME", cell: (r) => (wide ? r.time : r.time.replace(/\.\d+Z$/, "Z")) },
      { title: "NODE", cell: (r) => r.node },
      { title: "BACKEND", cell: (r) => r.backend, wide: true },
      { title: "OUTCOME", cell: outcome },
      { title: "TOOK", cell: (r) => milliseconds(r.durationMs) },
      { title: "WAITED", cell: (r) => milliseconds(r.waitedMs), wide: true },
      { title: "ELEMENTS", cell: (r) => String(r.elements) },
      { title: "EFFECT", cell: (r) => effect(r, wide) },
      { title: "CAUSE", cell: (r) => causes(r, wide) },
    ],
    rows,
    { wide },
  );
}

function outcome(r: HistoryRow): string {
  return r.outcome === "retried" || r.outcome === "failing" ? `${r.outcome} (${r.tries} tries)` : r.outcome;
}

function milliseconds(ms: number): string {
  return ms < 10 ? `${ms.toFixed(2)} ms` : ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** In a line: the first few; `-o wide` and `-o json` have all that is remembered. */
const shown = 3;

function effect(r: HistoryRow, wide: boolean): string {
  if (r.outcome === "repaired") return "foreign changes undone";
  const some = wide ? r.services : r.services.slice(0, shown);
  const rest = r.services.length - some.length;
  const more = [
    ...(rest > 0 ? [`${rest} more port${rest === 1 ? "" : "s"}`] : []),
    ...(r.moreFrontends > 0 ? [`${r.moreFrontends} more address${r.moreFrontends === 1 ? "" : "es"}`] : []),
    ...(r.staleFlows > 0 ? [`${r.staleFlows} stale UDP flows ended`] : []),
  ];
  const refused = r.refused.map((p) => `${p.object} refused${wide ? `: ${p.message}` : ""}`);
  const failed = r.outcome === "failing" && r.error !== undefined ? [r.error] : [];
  return [...failed, ...refused, ...some.map((s) => serviceEffect(s, wide)), ...more].join("; ") || "no Service's rules";
}

/** `+2 −1 endpoints of shop/web:http`. */
export function serviceEffect(s: ServiceEffect, wide: boolean): string {
  const counts = [...(s.gainedCount > 0 ? [`+${s.gainedCount}`] : []), ...(s.lostCount > 0 ? [`−${s.lostCount}`] : [])].join(" ");
  const names = wide ? endpointNames(s) : "";
  const gone = s.fate === undefined;
  const isNew = s.added > 0 && s.removed + s.changed === 0;
  const endpoints = counts === "" || gone ? "" : `${counts} endpoint${s.gainedCount + s.lostCount === 1 ? "" : "s"}${names} of `;
  const notes = [
    ...(gone ? ["gone"] : isNew ? ["new"] : []),
    ...(s.fate === "reject" ? ["no endpoint: rejected"] : s.fate === "drop" ? ["none here: dropped"] : []),
    ...s.settings
      .filter((c) => c.setting !== "verdict" || !["reject", "drop"].includes(c.after))
      .map((c) => `${c.setting} ${c.before} → ${c.after}`),
  ];
  return `${endpoints}${s.service}${notes.length === 0 ? "" : ` (${notes.join(", ")})`}`;
}

function endpointNames(s: ServiceEffect): string {
  const names = [...s.gained.map((e) => `+${e}`), ...s.lost.map((e) => `−${e}`)];
  return names.length === 0 ? "" : ` (${names.join(" ")}${names.length < s.gainedCount + s.lostCount ? " …" : ""})`;
}

function causes(r: HistoryRow, wide: boolean): string {
  if (r.outcome === "repaired") return "somebody else changed the rules";
  if (r.full && !wide) return "start: all that there was";
  const some = (wide ? r.causes : r.causes.slice(-shown)).map(cause);
  const more = r.moreCauses + r.causes.length - some.length;
  const list = [...some, ...(more > 0 ? [`${more} more object${more === 1 ? "" : "s"}`] : [])].join("; ");
  return r.full ? `start: ${list}` : list;
}

function cause(c: HistoryCause): string {
  const name = c.namespace === undefined ? c.name : `${c.namespace}/${c.name}`;
  const version = c.resourceVersion === "" ? "" : ` @${c.resourceVersion}`;
  const fields = c.fields.length === 0 ? "" : ` (${c.fields.join(", ")})`;
  return `${c.kind} ${name}${version} ${c.change}${fields}`;
}
