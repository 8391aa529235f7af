import { type Problem, printObjectRef } from "../../snapshot/problem.ts";
import type { OutputFormat } from "../output-format.ts";
import { type Break, printSenders } from "../plan/breaks.ts";
import type { Fate, FlowChange, NameChange, ProblemChange, RouteChange, RuleChange } from "../plan/differences.ts";
import type { ObjectChange } from "../plan/world.ts";
import { printAnswer } from "./document.ts";
import { oneLine } from "./table.ts";

/** What applying a manifest would do. */
export interface Plan {
  readonly objects: readonly ObjectChange[];
  /** Why the API server would not take some of it. */
  readonly refusals: readonly string[];
  readonly rules: readonly RuleChange[];
  readonly flows: readonly FlowChange[];
  readonly names: readonly NameChange[];
  readonly routes: readonly RouteChange[];
  readonly problems: ProblemChange;
  /** What works before and does not after. */
  readonly breaks: readonly Break[];
  /** Ports of Services whose connections would be rejected from then on. */
  readonly withoutEndpoints: readonly string[];
  readonly remarks: readonly string[];
}

export function printPlan(format: OutputFormat | undefined, plan: Plan): string {
  return printAnswer(format, {
    data: plan,
    text: () => planText(plan, { wide: false }),
    wide: () => planText(plan, { wide: true }),
    names: () => [...new Set(plan.rules.map((r) => r.service))],
  });
}

const signs = { added: "+", removed: "−", changed: "~", deleted: "−", unchanged: " ", refused: "!" } as const;
/** Of a long list; `-o wide` and `-o json` have all. */
const shown = 8;

function planText(plan: Plan, { wide }: { readonly wide: boolean }): string {
  const nodes = [...new Set(plan.rules.flatMap((r) => r.nodes))];
  const sections = [
    section("Objects", objectLines(plan.objects, wide)),
    section(
      "The API server would refuse",
      plan.refusals.map((r) => `! ${r}`),
    ),
    section(
      "Service rules",
      plan.rules.flatMap((r) => ruleLines(r, nodes.length, wide)),
    ),
    section("Connections", limited(flowLines(plan.flows), wide)),
    section("Names", nameLines(plan.names, wide)),
    section(
      "Routes",
      plan.routes.flatMap((r) => routeLines(r, wide)),
    ),
    section("Problems", [
      ...plan.problems.gained.map((p) => `+ ${problemText(p)}`),
      ...plan.problems.lost.map((p) => `− ${problemText(p)}`),
    ]),
    section(
      "To know",
      plan.remarks.map((r) => `  ${r}`),
    ),
    // last: where a terminal ends
    section("Would break", limited(breakLines(plan.breaks), wide)),
  ].filter((s) => s !== "");
  const quiet =
    plan.rules.length +
      plan.flows.length +
      plan.names.length +
      plan.routes.length +
      plan.problems.gained.length +
      plan.problems.lost.length ===
    0;
  const verdict = quiet
    ? ["No connection, name or route would change.\n"]
    : plan.breaks.length === 0
      ? ["Nothing would break: what is reached now is reached then.\n"]
      : [];
  return [...sections, ...verdict].join("\n");
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${title}\n${lines.map((l) => `  ${oneLine(l)}\n`).join("")}`;
}

function limited(lines: readonly string[], wide: boolean): readonly string[] {
  const most = shown * 3;
  return wide || lines.length <= most ? lines : [...lines.slice(0, most), `… and ${lines.length - most} more`];
}

/** What is so already is many lines of a large manifest. */
function objectLines(objects: readonly ObjectChange[], wide: boolean): readonly string[] {
  const same = objects.filter((o) => o.change === "unchanged");
  if (wide || same.length <= 3) return objects.map(objectLine);
  return [...objects.filter((o) => o.change !== "unchanged").map(objectLine), `  ${same.length} more are so already`];
}

function objectLine({ object, change, fields }: ObjectChange): string {
  const what = {
    unchanged: ": is so already",
    refused: ": refused, so it stays as it is",
    added: "",
    deleted: "",
    changed: `: ${fields.join(", ")}`,
  }[change];
  return `${signs[change]} ${object}${what}`;
}

function ruleLines(r: RuleChange, nodeCount: number, wide: boolean): readonly string[] {
  const where = r.nodes.length === nodeCount ? "" : ` on ${r.nodes.join(", ")}`;
  const endpoints =
    r.change === "added"
      ? [`to ${listed(r.gained, wide)}`]
      : r.change === "removed"
        ? []
        : [...signed("+", r.gained, wide), ...signed("−", r.lost, wide)];
  const fate = r.fate === "reject" ? ["rejected: no endpoint"] : r.fate === "drop" ? ["dropped: no endpoint on this node"] : endpoints;
  const lost = r.fate === "reject" || r.fate === "drop" ? signed("−", r.lost, wide) : [];
  const settings = r.settings
    .filter((s) => s.setting !== "verdict" || (s.after !== "reject" && s.after !== "drop"))
    .map((s) => `${s.setting} ${s.before} → ${s.after}`);
  return [`${signs[r.change]} ${r.frontend}  ${r.service}${where}  ${[...lost, ...fate, ...settings].join("; ")}`.trimEnd()];
}

function signed(sign: string, endpoints: readonly string[], wide: boolean): readonly string[] {
  return endpoints.length === 0 ? [] : [`${sign}${listed(endpoints, wide).replaceAll(", ", ` ${sign}`)}`];
}

function listed(endpoints: readonly string[], wide: boolean): string {
  if (endpoints.length === 0) return "nobody";
  if (wide || endpoints.length <= shown) return endpoints.join(", ");
  return `${endpoints.slice(0, shown).join(", ")} … ${endpoints.length} in all`;
}

const flowSigns = { gained: "+", lost: "−", changed: "~" } as const;

/** Senders to whom the same happens are told together. */
function flowLines(flows: readonly FlowChange[]): readonly string[] {
  const backends = new Set(flows.map((f) => f.backend));
  const nodes = new Set(flows.flatMap((f) => f.nodes));
  const groups = Map.groupBy(flows, (f) => {
    const [before, after] = [fateText(f.before, f.after), fateText(f.after, f.before)];
    const where = f.nodes.length === nodes.size ? "" : ` on ${f.nodes.join(", ")}`;
    return `${f.to}${where}${backends.size > 1 ? ` (${f.backend})` : ""}: ${before} → ${after}`;
  });
  return [...groups].map(
    ([text, group]) => `${flowSigns[group[0]?.change ?? "changed"]} ${printSenders(group.map((f) => f.from))} → ${text}`,
  );
}

/** As whom a connection comes is told where that changes. */
function fateText(f: Fate, other: Fate): string {
  switch (f.verdict) {
    case "pass":
      return "no Service";
    case "drop":
      return "dropped";
    case "reject":
      return "rejected";
    case "deliver": {
      const [only] = f.endpoints;
      const to = f.endpoints.length === 1 ? (only ?? "") : `one of ${f.endpoints.length}`;
      const as = other.verdict !== "deliver" || other.masquerade === f.masquerade ? "" : f.masquerade ? ", as the node" : ", as itself";
      return `${to}${f.service === null ? "" : ` of ${f.service}`}${as}${f.affinitySeconds === null ? "" : `, kept ${f.affinitySeconds} s`}`;
    }
  }
}

/** Names of single endpoints and reverse names follow from the rest, and are many. */
function nameLines(names: readonly NameChange[], wide: boolean): readonly string[] {
  const told = wide ? names : names.filter((n) => !isDetail(n));
  const rest = names.length - told.length;
  return [...told.map(nameLine), ...(rest > 0 ? [`… and ${rest} names of endpoints and addresses`] : [])];
}

/** Of one endpoint, or a reverse name. */
export function isDetail({ name }: NameChange): boolean {
  return (
    /\.(in-addr|ip6)\.arpa\.$/.test(name) ||
    /^([0-9]+-[0-9]+-[0-9]+-[0-9]+|[0-9a-f]*(-[0-9a-f]*){2,7}|<[^>]*>)\.[^.]+\.[^.]+\.svc\./.test(name)
  );
}

function nameLine(n: NameChange): string {
  const records = [...n.gained.map((r) => `+${r}`), ...n.lost.map((r) => `−${r}`)];
  const some = records.length > shown ? [...records.slice(0, shown), `… ${records.length} in all`] : records;
  return `${signs[n.change]} ${n.name}  ${some.length === 0 ? "(no records)" : some.join("  ")}`;
}

/** Of a route that comes or goes what it does; what is set about it goes without saying. */
function routeLines(r: RouteChange, wide: boolean): readonly string[] {
  const told = (line: string): boolean =>
    wide || r.change === "changed" || !/^(filter|settings) /.test(line) || /^filter redirect\b/.test(line);
  return [
    `${signs[r.change]} ${r.rule}  ${r.object}`,
    ...r.before.filter(told).map((l) => `    − ${l}`),
    ...r.after.filter(told).map((l) => `    + ${l}`),
  ];
}

function breakLines(breaks: readonly Break[]): readonly string[] {
  const nodes = new Set(breaks.flatMap((b) => b.nodes));
  return breaks.map(
    (b) => `! ${b.what}: ${b.why}${b.nodes.length === nodes.size || b.nodes.length === 0 ? "" : ` on ${b.nodes.join(", ")}`}`,
  );
}

function problemText(p: Problem): string {
  return `${printObjectRef(p.object)}: ${p.field === "" ? "" : `${p.field}: `}${p.message} (${p.reason})`;
}
