import { cidrContains } from "../../src/base/cidr.ts";
import { parseIp } from "../../src/base/ip.ts";
import type { LoadbalanceConfig } from "../corefile/plugins/records.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import type { Wrap } from "./handler.ts";

/** Weights of addresses by name, 1 to 255. */
export type AddressWeights = ReadonlyMap<DomainName, ReadonlyMap<string, number>>;

/** Changes the order of address and MX records, because many clients take the first; aliases stay before their targets. */
export function balanceAnswers(config: LoadbalanceConfig, random: () => number, weights: () => AddressWeights): Wrap {
  const arrange = (records: readonly ResourceRecord[]): readonly ResourceRecord[] => {
    const isMoved = (r: ResourceRecord): boolean => r.data.kind === "A" || r.data.kind === "AAAA" || r.data.kind === "MX";
    const moved = records.filter(isMoved);
    if (moved.length < 2) return records;
    const ordered = config.policy.kind === "weighted" ? byWeight(moved, weights(), random) : shuffled(moved, random);
    const addresses = config.prefer.length === 0 ? ordered : byPreference(ordered, config);
    return [...records.filter((r) => !isMoved(r)), ...addresses];
  };
  return (next) => async (q, c) => {
    const answer = await next(q, c);
    return answer.answers.length < 2 ? answer : { ...answer, answers: arrange(answer.answers), additional: arrange(answer.additional) };
  };
}

function shuffled<T>(list: readonly T[], random: () => number): readonly T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}

/** The first is drawn by weight; the others keep their order. */
function byWeight(records: readonly ResourceRecord[], weights: AddressWeights, random: () => number): readonly ResourceRecord[] {
  const weightOf = (r: ResourceRecord): number => ("ip" in r.data ? weights.get(canonicalName(r.name))?.get(r.data.ip) : undefined) ?? 1;
  const total = records.reduce((sum, r) => sum + weightOf(r), 0);
  let drawn = random() * total;
  const first = records.find((r) => {
    drawn -= weightOf(r);
    return drawn < 0;
  });
  return first === undefined ? records : [first, ...records.filter((r) => r !== first)];
}

function byPreference(records: readonly ResourceRecord[], { prefer }: LoadbalanceConfig): readonly ResourceRecord[] {
  const placeOf = (r: ResourceRecord): number => {
    const ip = "ip" in r.data ? parseIp(r.data.ip) : undefined;
    const at = ip === undefined ? -1 : prefer.findIndex((cidr) => cidrContains(cidr, ip));
    return at < 0 ? prefer.length : at;
  };
  return records
    .map((r, i) => ({ r, i, at: placeOf(r) }))
    .sort((a, b) => a.at - b.at || a.i - b.i)
    .map(({ r }) => r);
}

/** A name on a line of its own, then `address weight` lines. Lines that make no sense are told by `wrong`, and left out. */
export function parseWeights(text: string, wrong: (line: number, why: string) => void): AddressWeights {
  const weights = new Map<DomainName, Map<string, number>>();
  let current: Map<string, number> | undefined;
  for (const [i, raw] of text.split("\n").entries()) {
    const words = raw
      .replace(/#.*/, "")
      .trim()
      .split(/\s+/)
      .filter((w) => w !== "");
    const [first, second] = words;
    if (first === undefined) continue;
    if (second === undefined) {
      current = new Map();
      weights.set(canonicalName(first), current);
      continue;
    }
    const ip = parseIp(first);
    const weight = /^[0-9]{1,3}$/.test(second) ? Number(second) : 0;
    if (ip === undefined || weight < 1 || weight > 255 || current === undefined)
      wrong(i + 1, `${raw.trim()} is no address and weight from 1 to 255`);
    else current.set(ip, weight);
  }
  return weights;
}
