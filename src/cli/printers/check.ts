import type { Finding, MachineReport } from "../machine-check.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";
import { printTable } from "./table.ts";

export function printCheck(format: OutputFormat | undefined, report: MachineReport): string {
  return printAnswer(format, {
    data: report,
    text: () => checkText(report),
    names: () => report.findings.filter((f) => !f.ok).map((f) => f.name),
  });
}

function checkText(report: MachineReport): string {
  const table = printTable<Finding>(
    [
      { title: "WHAT", cell: (f) => f.name },
      { title: "STATE", cell: (f) => (f.ok ? "ok" : f.need === "required" ? "MISSING" : "missing") },
      { title: "FOUND", cell: (f) => f.found },
    ],
    report.findings,
  );
  // One paragraph for what costs the same.
  const costs = new Map<string, readonly Finding[]>();
  for (const f of report.findings.filter((g) => !g.ok)) costs.set(f.cost ?? "", [...(costs.get(f.cost ?? "") ?? []), f]);
  const missing = [...costs]
    .map(
      ([cost, list]) =>
        `\nWithout ${list.map((f) => f.name).join(", ")}: ${cost}.\n${list.map((f) => `  ${f.name}: ${f.fix ?? ""}\n`).join("")}`,
    )
    .join("");
  const verdict =
    report.mode === "full"
      ? "\n'fairway up' makes a full cluster here.\n"
      : "\n'fairway up' runs in plain mode here: one node, Pods as processes, Services in 127.64.0.0/10 through the userspace backend.\n";
  return `${table}${missing}${verdict}`;
}
