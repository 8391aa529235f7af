import type { Ingress } from "../../src/api/types/networking-v1.generated.ts";
import { type Kind, objectKey, type Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import { type Problem, printObjectRef } from "../../src/snapshot/problem.ts";
import { batchFromEmpty } from "../../src/snapshot/snapshot-store.ts";
import type { AnnotationRow, RowState } from "./annotation-row.ts";
import { annotationPrefix, annotationRow, guardsPaths, ownPrefix } from "./annotation-table.ts";
import { configRow } from "./config-table.ts";
import { classNameOf, defaultScope, type IngressScope, isOurs } from "./ingress-class.ts";
import { IngressTranslator } from "./ingress-translator.ts";
import { type Quirk, quirksOf } from "./quirks.ts";

/** How ingress-nginx itself chooses its Ingresses. */
export const nginxScope: IngressScope = { ...defaultScope, className: "nginx", controller: "k8s.io/ingress-nginx" };

/** `same`: served as before. `differs`: with a difference that is named. `partly`: something is not served. `shut`: paths answer 503. */
export type Verdict = "same" | "differs" | "partly" | "shut";

export interface SettingReport {
  readonly name: string;
  readonly value: string;
  readonly state: RowState | "unknown" | "invalid";
  /** What becomes of it here; "" where that is what it means there. */
  readonly note: string;
}

export interface IngressReport {
  /** `namespace/name`. */
  readonly ingress: string;
  readonly verdict: Verdict;
  readonly annotations: readonly SettingReport[];
  /** What is particular to ingress-nginx in how it is used here, and kept. */
  readonly quirks: readonly Quirk[];
  /** What cannot be served as it stands, whoever serves it. */
  readonly problems: readonly Omit<Problem, "object">[];
}

export interface MigrationReport {
  readonly ingresses: readonly IngressReport[];
  /** Of ConfigMaps and classes. */
  readonly settings: readonly (SettingReport & { readonly object: string })[];
  readonly problems: readonly Problem[];
  readonly summary: Readonly<Record<Verdict, number>>;
  /** Kinds that Ingresses name and of which there is not one among the objects: whether those that are named are there was not judged. */
  readonly notGiven: readonly Kind[];
  /** How many Ingresses of each other class there are, which ingress-nginx does not serve; "" is no class. */
  readonly otherClasses: Readonly<Record<string, number>>;
}

export interface MigrationOptions {
  readonly scope?: IngressScope;
  /** The objects are all there are; without it they are what somebody has chosen, who may have left out a whole kind. */
  readonly whole: boolean;
}

/** What becomes of the Ingresses that ingress-nginx serves, one by one, from objects alone. */
export function reportMigration(snapshot: Snapshot, { scope = nginxScope, whole }: MigrationOptions): MigrationReport {
  const absent = whole ? [] : choosableKinds.filter((kind) => snapshot.tables[kind].size === 0);
  const unjudged = (p: Problem): boolean => absent.some((kind) => p.reason === `${kind}NotFound`);
  const translator = new IngressTranslator({ scope });
  translator.apply(batchFromEmpty(snapshot));
  const routes = translator.full().routes.upserts;
  const { problems } = translator;
  const served = [...snapshot.tables.Ingress.values()].filter((i) => isOurs(snapshot, i, scope));
  const ingresses = served
    .toSorted((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1))
    .map((ingress): IngressReport => {
      const key = objectKey(ingress);
      const told = problems.filter((p) => p.object.kind === "Ingress" && `${p.object.namespace ?? ""}/${p.object.name}` === key);
      const own = told.filter((p) => !unjudged(p));
      const annotations = annotationReports(ingress);
      const answered = routes.some((r) => r.action.kind === "respond" && printObjectRef(r.object) === `Ingress ${key}`);
      const shut = answered && (own.length === told.length || own.some(isOfGuard) || annotations.some((a) => guardsPaths(a.name, a.value)));
      const quirks = quirksOf(ingress, { all: served, routes });
      const others = own.filter(
        (p) =>
          !p.field.startsWith("metadata.annotations") ||
          !annotations.some((a) => p.field.includes(`/${a.name}]`) && a.state !== "kept" && a.state !== "differs"),
      );
      return {
        ingress: key,
        verdict: verdictOf(annotations, others, shut),
        annotations,
        quirks,
        problems: others.map(({ object: _, ...p }) => p),
      };
    });
  const summary = { same: 0, differs: 0, partly: 0, shut: 0 };
  for (const { verdict } of ingresses) summary[verdict]++;
  return {
    ingresses,
    settings: configReports(snapshot, scope),
    problems: problems.filter((p) => p.object.kind !== "Ingress" && !p.field.startsWith("data[") && !unjudged(p)),
    summary,
    notGiven: absent.filter((kind) => problems.some((p) => p.reason === `${kind}NotFound`)),
    otherClasses: countBy(
      [...snapshot.tables.Ingress.values()].filter((i) => !isOurs(snapshot, i, scope)).map((i) => classNameOf(i) ?? ""),
    ),
  };
}

/** Of which somebody who asks about files may have given none. */
const choosableKinds = ["Service", "Secret", "ConfigMap"] as const satisfies readonly Kind[];

/** A guard that cannot be made shuts its paths. */
function isOfGuard({ field }: Problem): boolean {
  const name = /^metadata\.annotations\[(.+)\]$/.exec(field)?.[1];
  if (name === undefined) return false;
  const short = name.startsWith(annotationPrefix) ? name.slice(annotationPrefix.length) : name;
  return annotationRow(short)?.guards === true;
}

function countBy(names: readonly string[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const name of names.toSorted()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return Object.fromEntries(counts);
}

function annotationReports(ingress: Ingress): readonly SettingReport[] {
  return Object.entries(ingress.metadata?.annotations ?? {})
    .filter(([name]) => name.startsWith(annotationPrefix) || name.startsWith(ownPrefix))
    .map(([whole, value]) => {
      const name = whole.startsWith(ownPrefix) ? whole : whole.slice(annotationPrefix.length);
      const report = settingReport(name, value, annotationRow(name));
      return guardsPaths(name, value.trim())
        ? { ...report, note: `${report.note}; it guards these paths, which answer 503 while it is there` }
        : report;
    });
}

function configReports(snapshot: Snapshot, scope: IngressScope): MigrationReport["settings"] {
  const { namespace, name, data } = configMapOf(snapshot, scope);
  return Object.entries(data).map(([key, value]) => ({
    object: `ConfigMap ${namespace}/${name}`,
    ...settingReport(key, value, configRow(key)),
  }));
}

function configMapOf(snapshot: Snapshot, scope: IngressScope): { namespace: string; name: string; data: Readonly<Record<string, string>> } {
  const [namespace = "", name = ""] = scope.configMap.split("/");
  return { namespace, name, data: snapshot.tables.ConfigMap.get(scope.configMap)?.data ?? {} };
}

function settingReport(name: string, text: string, row: AnnotationRow | undefined): SettingReport {
  const value = text.length > longestValue ? `${text.slice(0, longestValue)}…` : text;
  if (row === undefined) return { name, value, state: "unknown", note: "ingress-nginx does not know it either" };
  const parsed = text.trim() === "" ? undefined : row.parse(text.trim());
  if (row.state === "refused") return { name, value, state: parsed === false ? "inert" : "refused", note: row.note };
  if (typeof parsed === "object" && parsed !== null && "expected" in parsed)
    return { name, value, state: "invalid", note: `it is not ${String(parsed.expected)}` };
  return { name, value, state: row.state, note: row.note };
}

const longestValue = 120;

function verdictOf(annotations: readonly SettingReport[], problems: readonly Problem[], shut: boolean): Verdict {
  if (shut) return "shut";
  if (problems.length > 0 || annotations.some((a) => a.state === "refused" || a.state === "invalid")) return "partly";
  return annotations.some((a) => a.state === "differs") ? "differs" : "same";
}
