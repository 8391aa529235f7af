import { printCidr } from "../../src/base/cidr.ts";
import { type IpFamily, ipFamily } from "../../src/base/ip.ts";
import { podMatches, rejectRules, untrackedRules } from "../iptables/chains.ts";
import { chainPrefix, chains } from "../iptables/names.ts";
import {
  type Chain,
  type ChainId,
  chainId,
  type Hook,
  type Matches,
  type Rule,
  type RuleSet,
  type SetMatch,
  type Target,
} from "../iptables/rule.ts";
import type { LocalInterface } from "../model/packet.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { type SetRole, setName } from "./sets.ts";
import { fwmarkBase, fwmarkMask } from "./values.ts";

export interface SideRuleOptions {
  readonly masqueradeAll: boolean;
  /** The bit of the packet mark by which what is masqueraded on the way out is known. */
  readonly masqueradeMark: number;
  readonly localInterface?: LocalInterface | undefined;
}

const shortCircuitChain = `${chainPrefix}SHORT-CIRCUIT`;

const hooks: readonly Hook[] = [
  { table: "raw", builtIn: "PREROUTING", chain: chains.untracked },
  { table: "raw", builtIn: "OUTPUT", chain: chains.untracked },
  // virtual servers take this machine's own packets right behind nat OUTPUT: what they must not get, or must know by a
  // mark of its own, is decided before
  { table: "mangle", builtIn: "PREROUTING", chain: chains.services },
  { table: "mangle", builtIn: "OUTPUT", chain: chains.services },
  { table: "nat", builtIn: "PREROUTING", chain: chains.services },
  { table: "nat", builtIn: "OUTPUT", chain: chains.services },
  { table: "nat", builtIn: "POSTROUTING", chain: chains.postrouting },
  { table: "filter", builtIn: "INPUT", chain: chains.input },
  { table: "filter", builtIn: "FORWARD", chain: chains.forward },
  { table: "filter", builtIn: "OUTPUT", chain: chains.output },
];

/** What stands beside the virtual servers. Depends on the surroundings only: Services are entries of the sets that it names. */
export function sideRules(family: IpFamily, surroundings: Surroundings, options: SideRuleOptions): RuleSet {
  const fromPods = podMatches(
    surroundings.podCidrs.filter((cidr) => cidr.family === family),
    { ...withoutNodePorts, ...options },
  );
  const of = (role: SetRole, ...fields: SetMatch["fields"]): SetMatch => ({ name: setName(family, role), fields, negated: false });
  const frontend = (role: SetRole): SetMatch => of(role, "dst", "dst");
  const not = (set: SetMatch): SetMatch => ({ ...set, negated: true });
  const isOurs = { bits: fwmarkBase, mask: fwmarkMask, negated: false };
  const byMark = { kind: "mark-of-entry", set: setName(family, "short-circuit"), fields: ["dst", "dst"] } as const;
  const { masqueradeMark } = options;
  const mark: Target = { kind: "mark", value: masqueradeMark, mask: masqueradeMark };
  const accepted: readonly Rule[] = [
    { mark: { bits: masqueradeMark, negated: false }, target: { kind: "accept" } },
    { states: { of: ["RELATED", "ESTABLISHED"], negated: false }, target: { kind: "accept" } },
  ];
  const refuse: Rule = { states: { of: ["NEW"], negated: false }, target: { kind: "jump", chain: chains.refusals } };
  const made = new Map<ChainId, Chain>([
    [
      chainId("mangle", chains.services),
      [
        { states: { of: ["NEW"], negated: true }, target: { kind: "return" } },
        { sets: [frontend("ranged"), not(of("allowed", "dst", "dst", "src"))], target: { kind: "drop" } },
        // pods and this node are where all endpoints can be reached from: no detour by the load balancer
        ...fromPods.map((matches): Rule => ({ ...matches, target: byMark })),
        { localSource: true, target: byMark },
      ],
    ],
    [
      chainId("nat", chains.services),
      [
        { sets: [frontend("cluster")], target: { kind: "jump", chain: chains.offCluster } },
        { sets: [frontend("external")], target: mark },
      ],
    ],
    [
      chainId("nat", chains.offCluster),
      offClusterRules(fromPods, of("service-ips", "src"), { mark, masqueradeAll: options.masqueradeAll }),
    ],
    [
      chainId("nat", chains.postrouting),
      [
        // a pod that is its own endpoint would not know its own answer
        { sets: [of("loop-back", "dst", "dst", "src")], target: masquerade },
        { mark: isOurs, target: { kind: "jump", chain: shortCircuitChain } },
        { mark: { bits: masqueradeMark, negated: true }, target: { kind: "return" } },
        // or the mark would be seen once more outside a tunnel
        { target: { kind: "mark", value: masqueradeMark, mask: 0 } },
        { target: masquerade },
      ],
    ],
    [
      chainId("nat", shortCircuitChain),
      [
        { target: { kind: "mark", value: 0, mask: 0xffff_ffff } },
        { localSource: true, target: masquerade },
        { target: { kind: "accept" } },
      ],
    ],
    [chainId("nat", chains.canary), []],
    [
      chainId("filter", chains.refusals),
      [
        { mark: isOurs, target: { kind: "return" } },
        ...(["cluster", "external", "local"] as const).map((role): Rule => ({ sets: [frontend(role)], target: { kind: "return" } })),
        { sets: [frontend("reject")], target: { kind: "jump", chain: chains.reject } },
        { sets: [frontend("drop")], target: { kind: "drop" } },
        { sets: [of("cluster-ips", "dst")], target: { kind: "jump", chain: chains.reject } },
        ...surroundings.serviceCidrs
          .filter((cidr) => cidr.family === family)
          .map((cidr): Rule => ({ destination: { cidr, negated: false }, target: { kind: "drop" } })),
      ],
    ],
    [chainId("filter", chains.reject), rejectRules],
    // whatever else this machine lets in, load balancers may ask how a Service is
    [chainId("filter", chains.input), [refuse, { protocol: "tcp", sets: [of("health-ports", "dst")], target: { kind: "accept" } }]],
    [chainId("filter", chains.forward), [refuse, ...accepted]],
    [chainId("filter", chains.output), [refuse]],
    [chainId("filter", chains.canary), []],
  ]);
  const untracked = untrackedRules(
    surroundings.localDnsIps.filter((ip) => ipFamily(ip) === family),
    family,
  );
  if (untracked.length > 0) made.set(chainId("raw", chains.untracked), untracked);
  return { family, hooks: hooks.filter((hook) => made.has(chainId(hook.table, hook.chain))), chains: made };
}

/** Whether two surroundings make the same side rules. */
export function sameSideRules(a: Surroundings, b: Surroundings): boolean {
  const text = (s: Surroundings): string => JSON.stringify([s.podCidrs.map(printCidr), s.serviceCidrs.map(printCidr), s.localDnsIps]);
  return text(a) === text(b);
}

const masquerade = { kind: "masquerade", fullyRandom: true } as const;
const withoutNodePorts = { nodePorts: "listed", localhostNodePorts: false, dropInvalid: false, counted: false } as const;

/** Marks what does not come from a pod of this node. */
function offClusterRules(
  fromPods: readonly Matches[],
  fromServiceIp: SetMatch,
  how: { readonly mark: Target; readonly masqueradeAll: boolean },
): Chain {
  const { mark, masqueradeAll } = how;
  if (masqueradeAll) return [{ target: mark }];
  // where nobody knows the pods, it is still known what cannot be answered: a packet of this machine to an address of its own
  if (fromPods.length === 0) return [{ sets: [fromServiceIp], target: mark }];
  return [...fromPods.map((m): Rule => ({ ...m, target: { kind: "return" } })), { target: mark }];
}
