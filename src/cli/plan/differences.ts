import { DnsZone, type NameRecords, printNameRecords } from "../../../dns/index.ts";
import { IngressTranslator, type Pool, type Route, type TranslatorOptions } from "../../../ingress/index.ts";
import { type Backend, compareRules, compileOffline, type RuleOptions, type SettingChange, type Verdict } from "../../../rules/index.ts";
import { printHostPort } from "../../base/ip.ts";
import type { Batch, Snapshot } from "../../snapshot/cluster-snapshot.ts";
import { type Problem, printObjectRef } from "../../snapshot/problem.ts";
import { batchFromEmpty } from "../../snapshot/snapshot-store.ts";

/** One address and port, or node port, on the nodes where the same happens to it. */
export interface RuleChange {
  readonly nodes: readonly string[];
  /** `10.96.0.1:80/tcp`, `nodePort4:30080/tcp`. */
  readonly frontend: string;
  readonly scope: string;
  /** `shop/web:http`. */
  readonly service: string;
  readonly change: "added" | "removed" | "changed";
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  readonly settings: readonly SettingChange[];
  /** What a new connection gets then: `balance`, `local`, `reject`, `drop`; absent once removed. */
  readonly fate?: string;
}

export type Fate = Omit<Verdict, "steps">;

/** What becomes of a connection from one kind of sender, by a backend's own rules. */
export interface FlowChange {
  readonly nodes: readonly string[];
  readonly backend: Backend;
  readonly from: "pod" | "node" | "external";
  /** An address and port, or a node port, as the frontend is called. */
  readonly to: string;
  /** gained: reached only then; lost: only before; changed: reaches others, or as somebody else. */
  readonly change: "gained" | "lost" | "changed";
  readonly before: Fate;
  readonly after: Fate;
}

export interface NameChange {
  readonly name: string;
  readonly change: "added" | "removed" | "changed";
  /** `A 10.96.0.1`, in zone-file form. */
  readonly gained: readonly string[];
  readonly lost: readonly string[];
}

export interface RouteChange {
  /** `host/path`, as its object says it. */
  readonly rule: string;
  readonly object: string;
  readonly change: "added" | "removed" | "changed";
  /** What differs: `forwards to shop/web:80`, `filters rateLimit`. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

export interface ProblemChange {
  readonly gained: readonly Problem[];
  readonly lost: readonly Problem[];
}

/** What one plane says. */
export interface Compared<T> {
  readonly changes: readonly T[];
  readonly problems: ProblemChange;
}

/** Rules of one node, before and after. */
export function ruleChanges(batch: Batch, node: string, options: RuleOptions): Compared<Omit<RuleChange, "nodes">> {
  const { changes, problems } = compareRules(batch, { ...options, nodeName: node });
  return { changes: changes.map(({ owner, ...c }) => ({ ...c, service: owner })), problems };
}

/** Connections of each kind of sender to each changed address, followed through the backend's program. */
export function flowChanges(
  batch: Batch,
  frontends: readonly { readonly frontend: string }[],
  options: RuleOptions & { readonly backend: Backend },
): Compared<Omit<FlowChange, "nodes">> {
  const compile = (snapshot: Batch["after"]): ReturnType<typeof compileOffline> => compileOffline(snapshot, options);
  const [before, after] = [compile(batch.before), compile(batch.after)];
  const changes: Omit<FlowChange, "nodes">[] = [];
  const { senders, nodeIps } = endsOf(batch, options.nodeName);
  for (const { frontend } of frontends) {
    const target = parseFrontend(frontend, nodeIps);
    if (target === undefined) continue;
    for (const from of ["pod", "node", "external"] as const) {
      const source = senders[from][target.family];
      if (source === undefined) continue;
      const packet = { from: source, to: target.ip, port: target.port, protocol: target.protocol };
      const [was, is] = [fateOf(before.trace(packet)), fateOf(after.trace(packet))];
      if (JSON.stringify(was) !== JSON.stringify(is))
        changes.push({
          backend: options.backend,
          from,
          to: frontend,
          change: changeOf(was, is),
          before: was,
          after: is,
        });
    }
  }
  return { changes, problems: problemChange(before.problems, after.problems) };
}

export function nameChanges(batch: Batch, clusterDomain: string | undefined): Compared<NameChange> {
  const zone = new DnsZone(clusterDomain === undefined ? {} : { kubernetes: { zones: [clusterDomain] } });
  zone.apply(batchFromEmpty(batch.before));
  const before = new Map<string, NameRecords>();
  for (const { key, records } of zone.names()) before.set(key, records);
  const { delta, problems } = zone.apply(batch);
  const changes: NameChange[] = [];
  const compare = (name: string, is: NameRecords | undefined): void => {
    const was = before.get(name);
    const [had, has] = [was, is].map((r) => (r === undefined ? [] : printNameRecords(r)));
    const gained = (has ?? []).filter((r) => had?.includes(r) !== true);
    const lost = (had ?? []).filter((r) => has?.includes(r) !== true);
    const change = was === undefined ? "added" : is === undefined ? "removed" : "changed";
    if (change !== "changed" || gained.length + lost.length > 0) changes.push({ name, change, gained, lost });
  };
  for (const { key, records } of delta.upserts) compare(key, records);
  const edited = new Set(delta.edits?.map(({ key }) => key));
  if (edited.size > 0) for (const { key, records } of zone.names()) if (edited.has(key)) compare(key, records);
  for (const key of delta.deletes) compare(key, undefined);
  return { changes: changes.sort((a, b) => (a.name < b.name ? -1 : 1)), problems };
}

export function routeChanges(batch: Batch, options: TranslatorOptions): Compared<RouteChange> {
  const translator = new IngressTranslator(options);
  translator.apply(batchFromEmpty(batch.before));
  const full = translator.full();
  const before = new Map(full.routes.upserts.map((r) => [r.id, r]));
  const poolsBefore = new Map(full.pools.upserts.map((p) => [p.id, p]));
  translator.apply(batch);
  const now = translator.full();
  const after = new Map(now.routes.upserts.map((r) => [r.id, r]));
  const poolsAfter = new Map(now.pools.upserts.map((p) => [p.id, p]));
  const changes: RouteChange[] = [];
  for (const id of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(id), after.get(id)];
    const route = is ?? was;
    if (route === undefined) continue;
    const had = was === undefined ? [] : describeRoute(was, poolsBefore, batch.before);
    const has = is === undefined ? [] : describeRoute(is, poolsAfter, batch.after);
    if (JSON.stringify(had) === JSON.stringify(has)) continue;
    changes.push({
      rule: route.rule,
      object: printObjectRef(route.object),
      change: was === undefined ? "added" : is === undefined ? "removed" : "changed",
      before: had.filter((line) => !has.includes(line)),
      after: has.filter((line) => !had.includes(line)),
    });
  }
  return { changes, problems: translator.problemChanges };
}

/** What a route does, a line for each thing, so that two can be compared. */
function describeRoute(route: Route, pools: ReadonlyMap<string, Pool>, { tables }: Snapshot): readonly string[] {
  const { action } = route;
  const matches = [...(route.headers ?? []), ...(route.query ?? [])].map((m) => `only with ${describe(m)}`);
  const methods = route.methods === undefined ? [] : [`only ${route.methods.join(", ")}`];
  const lines = [...methods, ...matches, ...route.filters.map((f) => `filter ${describe(f)}`)];
  const to = (id: string): string => {
    const pool = pools.get(id);
    if (pool === undefined) {
      const service = id.slice(0, id.lastIndexOf(":"));
      return `${id}: ${tables.Service.has(service) ? "no such port" : "no such Service"}, answers 503`;
    }
    const endpoints = pool.endpoints.map((e) => printHostPort(e.ip, e.port)).sort();
    return `${pool.service}:${pool.port} (${endpoints.length === 0 ? "no endpoint, answers 503" : endpoints.join(", ")})`;
  };
  // who is sent elsewhere never gets to what the path forwards to
  if (route.filters.some((f) => f.kind === "redirect")) return lines;
  switch (action.kind) {
    case "forward":
      return [
        ...lines,
        ...action.backends.map((b) => `forwards${action.backends.length > 1 ? ` weight ${b.weight}` : ""} to ${to(b.pool)}`),
        ...action.overrides.map((o) => `by ${o.on} ${o.match.name}: ${o.backends.map((b) => to(b.pool)).join(", ")}`),
        `settings ${describe({ ...action, kind: undefined, backends: undefined, overrides: undefined })}`,
      ];
    case "redirect":
      return [...lines, `redirects with ${action.status} ${JSON.stringify(action.location)}`];
    case "respond":
      return [...lines, `answers ${action.status}: ${action.why}`];
    case "none":
      return [...lines, "answers 404"];
  }
}

/** `sslRedirect, status 308`: the kind, then each setting, for one line. */
function describe(value: object): string {
  const { kind, ...settings } = { ...value } as Readonly<Record<string, unknown>>;
  const told = Object.entries(settings).flatMap(([name, v]) =>
    v === undefined ? [] : v === true ? [name] : [`${name} ${typeof v === "string" ? v : JSON.stringify(v)}`],
  );
  return [...(typeof kind === "string" ? [kind] : []), ...told].join(", ");
}

function problemChange(before: readonly Problem[], after: readonly Problem[]): ProblemChange {
  const id = (p: Problem): string => JSON.stringify(p);
  const [had, has] = [new Set(before.map(id)), new Set(after.map(id))];
  return { gained: after.filter((p) => !had.has(id(p))), lost: before.filter((p) => !has.has(id(p))) };
}

function changeOf(was: Fate, is: Fate): FlowChange["change"] {
  if ((was.verdict === "deliver") === (is.verdict === "deliver")) return "changed";
  return is.verdict === "deliver" ? "gained" : "lost";
}

function fateOf({ steps: _, ...fate }: Verdict): Fate {
  return fate;
}

type Family = 4 | 6;
type Ends = Readonly<Partial<Record<Family, string>>>;

/** Documentation addresses (RFC 5737, RFC 3849): nobody in a cluster has them. */
const outside: Ends = { 4: "203.0.113.1", 6: "2001:db8::1" };

/** An address for each kind of sender: a Pod of the node, the node itself, somebody outside. */
function endsOf(
  { before, after }: Batch,
  name: string,
): { readonly senders: Readonly<Record<"pod" | "node" | "external", Ends>>; readonly nodeIps: Ends } {
  const node = after.tables.Node.get(name) ?? before.tables.Node.get(name);
  const addresses = (node?.status?.addresses ?? []).filter((a) => a.type === "InternalIP").map((a) => a.address);
  const ranges = node?.spec?.podCIDRs ?? (node?.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);
  const of = (list: readonly string[]): Ends => {
    const [four, six] = [list.find((a) => !a.includes(":")), list.find((a) => a.includes(":"))];
    return { ...(four === undefined ? {} : { 4: four }), ...(six === undefined ? {} : { 6: six }) };
  };
  // the second to last address of a range: one that hardly any Pod has, so that no sender is an endpoint
  const pods = of(ranges.flatMap((r) => lastBut(r) ?? []));
  const nodeIps = of(addresses);
  return { senders: { pod: pods, node: nodeIps, external: outside }, nodeIps };
}

function lastBut(range: string): string | undefined {
  const [ip = "", bits = ""] = range.split("/");
  if (ip.includes(":")) return ip.endsWith("::") ? `${ip}ffff` : undefined;
  const numbers = ip.split(".").map(Number);
  const size = 2 ** (32 - Number(bits));
  if (size < 4) return undefined;
  const number = numbers.reduce((n, part) => n * 256 + part, 0) + size - 2;
  return [24, 16, 8, 0].map((shift) => (number / 2 ** shift) & 255).join(".");
}

function parseFrontend(
  key: string,
  nodeIps: Ends,
): { readonly ip: string; readonly family: Family; readonly port: number; readonly protocol: "tcp" | "udp" | "sctp" } | undefined {
  const match = /^(?:nodePort([46])|\[([^\]]+)\]|([\d.]+)):(\d+)\/(tcp|udp|sctp)$/.exec(key);
  if (match === null) return undefined;
  const [, portFamily, six, four, port, protocol] = match;
  const family: Family = portFamily === "6" || six !== undefined ? 6 : 4;
  const ip = six ?? four ?? nodeIps[family];
  return ip === undefined ? undefined : { ip, family, port: Number(port), protocol: protocol as "tcp" | "udp" | "sctp" };
}
