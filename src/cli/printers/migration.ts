import type { IngressReport, MigrationReport, SettingReport } from "../../../ingress/index.ts";
import { printObjectRef } from "../../snapshot/problem.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";
import { oneLine, printTable } from "./table.ts";

export function printMigration(format: OutputFormat | undefined, report: MigrationReport): string {
  return printAnswer(format, {
    data: report,
    text: () => migrationText(report, { wide: false }),
    wide: () => migrationText(report, { wide: true }),
    names: () => report.ingresses.map((i) => i.ingress),
  });
}

/** What is the same everywhere is said with -o wide only. */
function migrationText(report: MigrationReport, o: { readonly wide: boolean }): string {
  const { same, differs, partly, shut } = report.summary;
  const head = `${report.ingresses.length} Ingresses: ${same} the same, ${differs} with differences, ${partly} served in part, ${shut} shut\n${otherClasses(report)}${notGiven(report)}`;
  const table =
    report.ingresses.length === 0
      ? ""
      : printTable<IngressReport>(
          [
            { title: "INGRESS", cell: (i) => i.ingress },
            { title: "VERDICT", cell: (i) => i.verdict },
            { title: "ANNOTATIONS", cell: (i) => String(i.annotations.length) },
            { title: "QUIRKS", cell: (i) => [...new Set(i.quirks.map((q) => q.quirk))].join(", ") || "none" },
          ],
          report.ingresses,
        );
  const parts = [
    ...report.ingresses.map((i) => section(`Ingress ${i.ingress}`, ingressLines(i, o))),
    ...[...new Set(report.settings.map((s) => s.object))].map((object) =>
      section(
        object,
        settingLines(
          report.settings.filter((s) => s.object === object),
          o,
        ),
      ),
    ),
    section(
      "Other objects",
      report.problems.map((p) => `! ${printObjectRef(p.object)}: ${p.field === "" ? "" : `${p.field}: `}${p.message}`),
    ),
  ];
  return `${head}${table}${parts.join("")}`;
}

function otherClasses({ otherClasses: counts }: MigrationReport): string {
  const list = Object.entries(counts).map(([name, n]) => `${n} of ${name === "" ? "no class" : `class ${oneLine(name)}`}`);
  return list.length === 0 ? "" : `Not looked at: ${list.join(", ")}; --ingress-class and --controller-class name others\n`;
}

function notGiven({ notGiven: kinds }: MigrationReport): string {
  if (kinds.length === 0) return "";
  const names = kinds.map((kind) => kind.toLowerCase()).join(",");
  return `Not given: ${kinds.map((kind) => `${kind}s`).join(", ")}; whether those that are named are there was not judged (kubectl get ${names} -A -o yaml)\n`;
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `\n${oneLine(title)}\n${lines.map((l) => `  ${oneLine(l)}\n`).join("")}`;
}

function ingressLines(i: IngressReport, o: { readonly wide: boolean }): readonly string[] {
  return [
    ...i.problems.map((p) => `! ${p.field}: ${p.message}`),
    ...settingLines(i.annotations, o),
    ...i.quirks.map((q) => `~ ${q.where === "" ? "" : `${q.where}: `}${q.message} (${q.quirk})`),
  ];
}

function settingLines(settings: readonly SettingReport[], o: { readonly wide: boolean }): readonly string[] {
  return settings
    .filter((s) => o.wide || (s.state !== "kept" && s.state !== "inert"))
    .map(
      (s) =>
        `${s.state === "refused" || s.state === "invalid" ? "!" : "·"} ${s.name}: ${s.value} (${s.state})${s.note === "" ? "" : ` ${s.note}`}`,
    );
}
