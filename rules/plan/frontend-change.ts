import { printCidr } from "../../src/base/cidr.ts";
import { printHostPort } from "../../src/base/ip.ts";
import { printServicePort } from "../model/service-port.ts";
import type { Action, Frontend, Member } from "./frontend.ts";

/** What happens to a new connection there; `local` means policy Local: this node's endpoints only, for most senders. */
export type Fate = "balance" | "local" | "reject" | "drop";

/** One setting that is not as it was, in words. */
export interface SettingChange {
  readonly setting: "verdict" | "masquerade" | "affinity" | "balancing" | "weights" | "sources" | "owner";
  readonly before: string;
  readonly after: string;
}

/** How one frontend differs. Of a new or removed one all endpoints are gained or lost, and no setting changes. */
export interface FrontendChange {
  readonly kind: "added" | "removed" | "changed";
  /** `10.0.1.2:8080`, sorted as the pools are. */
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  readonly settings: readonly SettingChange[];
}

/** Costs by the endpoints of the two. */
export function compareFrontends(before: Frontend | undefined, after: Frontend | undefined): FrontendChange {
  const [had, has] = endpointsApart(before?.action, after?.action);
  const kind = before === undefined ? "added" : after === undefined ? "removed" : "changed";
  return {
    kind,
    gained: without(has, had),
    lost: without(had, has),
    settings: before === undefined || after === undefined ? noSettings : settingsOf(before, after),
  };
}

export function fateOf(action: Action): Fate {
  return action.kind === "balance" && action.localPool !== undefined ? "local" : action.kind;
}

/** All that may get a new connection, from whomever. */
export function endpointsOf(action: Action): readonly string[] {
  if (action.kind !== "balance") return noEndpoints;
  const cluster = memberNames(action.pool.members);
  return action.localPool === undefined ? cluster : [...new Set([...cluster, ...memberNames(action.localPool.members)])];
}

const noEndpoints: readonly string[] = [];
const noSettings: readonly SettingChange[] = [];

/** The endpoints of the two, but for what both lists begin and end with: one of many changes mostly, and only that is printed. */
function endpointsApart(a: Action | undefined, b: Action | undefined): readonly [had: readonly string[], has: readonly string[]] {
  const [before, after] = [onlyPool(a), onlyPool(b)];
  if (before === undefined || after === undefined) {
    return [a === undefined ? noEndpoints : endpointsOf(a), b === undefined ? noEndpoints : endpointsOf(b)];
  }
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && isSame(before[start], after[start])) start++;
  let end = 0;
  while (end < shorter - start && isSame(before[before.length - 1 - end], after[after.length - 1 - end])) end++;
  const rest = (members: readonly Member[]): readonly string[] => memberNames(members.slice(start, members.length - end));
  return [rest(before), rest(after)];
}

/** Undefined where endpoints are in two pools, or in none. */
function onlyPool(action: Action | undefined): readonly Member[] | undefined {
  return action?.kind === "balance" && action.localPool === undefined ? action.pool.members : undefined;
}

function isSame(a: Member | undefined, b: Member | undefined): boolean {
  return a?.ip === b?.ip && a?.port === b?.port;
}

function memberNames(members: readonly Member[]): readonly string[] {
  return members.map((m) => printHostPort(m.ip, m.port));
}

function without(all: readonly string[], those: readonly string[]): readonly string[] {
  if (those.length === 0) return all;
  const known = new Set(those);
  return all.filter((e) => !known.has(e));
}

function settingsOf(before: Frontend, after: Frontend): readonly SettingChange[] {
  const found: SettingChange[] = [];
  const compare = (setting: SettingChange["setting"], say: (f: Frontend) => string): void => {
    const [was, is] = [say(before), say(after)];
    if (was !== is) found.push({ setting, before: was, after: is });
  };
  compare("owner", (f) => printServicePort(f.owner));
  compare("verdict", (f) => fateOf(f.action));
  compare("masquerade", (f) => f.masquerade);
  if (before.action.kind === "balance" && after.action.kind === "balance") {
    compare("affinity", (f) => affinityOf(f.action));
    compare("balancing", (f) => (f.action.kind === "balance" ? (f.action.pool.balance ?? "random") : ""));
    compare("weights", (f) => weightsOf(f.action));
  }
  compare("sources", (f) => f.sources?.map(printCidr).join(", ") ?? "all");
  return found;
}

/** Of those that do not have the usual one, since nearly all do. */
function weightsOf(action: Action): string {
  if (action.kind !== "balance") return "";
  const weighted = action.pool.members.filter((m) => m.weight !== undefined && m.weight !== 1);
  return weighted.length === 0 ? "all 1" : weighted.map((m) => `${printHostPort(m.ip, m.port)} ${m.weight}`).join(", ");
}

function affinityOf(action: Action): string {
  return action.kind === "balance" && action.affinitySeconds !== undefined ? `${action.affinitySeconds} s` : "none";
}
