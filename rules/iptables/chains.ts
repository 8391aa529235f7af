import type { Cidr } from "../../src/base/cidr.ts";
import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { LocalInterface } from "../model/packet.ts";
import { printServicePort, type ServicePortName } from "../model/service-port.ts";
import type { Action, Frontend } from "../plan/frontend.ts";
import { chains, counters, externalChain, poolChain, sourcesChain } from "./names.ts";
import type { Chain, Hook, Matches, Rule, Target } from "./rule.ts";

/** What the rules depend on besides the plan; fixed while a process lives. */
export interface IptablesOptions {
  readonly masqueradeAll: boolean;
  /** The bit of the packet mark by which what is masqueraded on the way out is known. */
  readonly masqueradeMark: number;
  /** Node ports answer on every local address, or on those listed in the surroundings. */
  readonly nodePorts: "all-local" | "listed";
  /** Node ports answer on 127.0.0.1 too (IPv4 only). */
  readonly localhostNodePorts: boolean;
  readonly localInterface?: LocalInterface | undefined;
  /** There are counters, and rules count in them. */
  readonly counted: boolean;
  /** Drop what belongs to no known connection, instead of sending it to an endpoint untranslated. */
  readonly dropInvalid: boolean;
}

export const defaultIptablesOptions: IptablesOptions = {
  masqueradeAll: false,
  masqueradeMark: 0x4000, // kube-proxy's; CNIs know it
  nodePorts: "all-local",
  localhostNodePorts: true,
  counted: false,
  dropInvalid: true,
};

export function jump(chain: string): Target {
  return { kind: "jump", chain };
}

function mark({ masqueradeMark }: Pick<IptablesOptions, "masqueradeMark">): Target {
  return { kind: "mark", value: masqueradeMark, mask: masqueradeMark };
}

function unmark({ masqueradeMark }: Pick<IptablesOptions, "masqueradeMark">): Rule {
  return { target: { kind: "mark", value: 0, mask: masqueradeMark } };
}

export function exactly(ip: Ip, family: IpFamily): Cidr {
  return { ip, bits: family === 4 ? 32 : 128, family };
}

/** Comments name the Service; a large cluster does without. */
export interface Commenting {
  readonly comments: boolean;
  readonly options: Pick<IptablesOptions, "masqueradeMark" | "counted" | "localhostNodePorts">;
}

/** The Service's name, where there are to be comments. */
export function comment(owner: ServicePortName, { comments }: Commenting): Matches {
  return comments ? { comment: printServicePort(owner) } : {};
}

/** What a ServicePort's external addresses and node port have in common. */
export interface External {
  readonly action: Extract<Action, { kind: "balance" }>;
  readonly masquerade: Frontend["masquerade"];
  readonly owner: ServicePortName;
}

export function externalRules(external: External, fromPods: readonly Matches[], commenting: Commenting): Chain {
  const { options } = commenting;
  const { pool, localPool } = external.action;
  const about = comment(external.owner, commenting);
  const all = pool.members.length === 0 ? undefined : jump(poolChain(pool.id));
  if (localPool === undefined) {
    const marks: readonly Rule[] = external.masquerade === "always" ? [{ ...about, target: mark(options) }] : [];
    return all === undefined ? marks : [...marks, { ...about, target: all }];
  }
  const rules: Rule[] = [];
  if (all !== undefined) {
    // pods and this node are where all endpoints can be reached from: no detour by the load balancer
    for (const matches of fromPods) rules.push({ ...matches, ...about, target: all });
    rules.push({ ...about, localSource: true, target: mark(options) }, { ...about, localSource: true, target: all });
  }
  // nothing here: what is left is dropped by the refusals, and must not be taken for a node port
  rules.push({ ...about, target: localPool.members.length === 0 ? { kind: "accept" } : jump(poolChain(localPool.id)) });
  return rules;
}

/** Who may use a load balancer's address. */
export function sourcesRules(frontend: Frontend, target: Target, commenting: Commenting): Chain {
  const about = comment(frontend.owner, commenting);
  return [
    ...(frontend.sources ?? []).map((cidr): Rule => ({ source: { cidr, negated: false }, ...about, target })),
    { ...about, target: { kind: "accept" } },
  ];
}

/** What a packet to a frontend looks like. A node port's address is looked at before. */
export function addressedTo(frontend: Frontend, commenting: Commenting): Matches {
  const { ip, family, protocol, port, owner } = frontend;
  return {
    ...(ip === undefined ? {} : { destination: { cidr: exactly(ip, family), negated: false } }),
    protocol,
    ports: { from: port, to: port },
    ...comment(owner, commenting),
  };
}

export function externalId(frontend: Frontend): string {
  return `${printServicePort(frontend.owner)}/${frontend.protocol}/${frontend.family}`;
}

/** Where a frontend's packets go in the nat table; nowhere when it is refused. */
export function translation(frontend: Frontend, commenting: Commenting): readonly Rule[] | undefined {
  const { action, scope, sources } = frontend;
  const matches = addressedTo(frontend, commenting);
  if (action.kind !== "balance") {
    // at an address of this node it might be taken for a node port
    return scope === "externalIP" || scope === "loadBalancerIP" ? [{ ...matches, target: { kind: "accept" } }] : undefined;
  }
  if (scope === "clusterIP")
    return action.pool.members.length === 0 ? undefined : [{ ...matches, target: jump(poolChain(action.pool.id)) }];
  const rule: Rule = { ...matches, target: jump(sources === undefined ? externalChain(externalId(frontend)) : sourcesChain(frontend.key)) };
  const { counted, localhostNodePorts } = commenting.options;
  if (scope !== "nodePort" || frontend.family !== 4 || !counted || !localhostNodePorts) return [rule];
  return [{ ...rule, destination: { cidr: protectedLoopback, negated: false }, counter: counters.localhost }, rule];
}

/** What is refused of the packets to a frontend that were not translated. */
export function refusal(frontend: Frontend, commenting: Commenting): readonly Rule[] | undefined {
  const { action, sources } = frontend;
  const matches = addressedTo(frontend, commenting);
  const drop: Rule = { ...matches, target: { kind: "drop" } };
  switch (action.kind) {
    case "reject":
      if (sources === undefined) return [{ ...matches, target: jump(chains.reject) }];
      return [...sources.map((cidr): Rule => ({ source: { cidr, negated: false }, ...matches, target: jump(chains.reject) })), drop];
    case "drop":
      return [drop];
    case "balance":
      return sources !== undefined || action.localPool?.members.length === 0 ? [drop] : undefined;
    default:
      return undefined;
  }
}

/** Sources that are pods of this node; none: nobody knows. */
export function podMatches(podCidrs: readonly Cidr[], options: IptablesOptions): readonly Matches[] {
  const { localInterface } = options;
  if (localInterface === undefined) return podCidrs.map((cidr) => ({ source: { cidr, negated: false } }));
  const { kind, name } = localInterface;
  return [{ inInterface: { name: kind === "prefix" ? `${name}+` : name, negated: false } }];
}

/** Marks what does not come from a pod of this node. */
export function offClusterRules(fromPods: readonly Matches[], options: IptablesOptions): Chain {
  if (options.masqueradeAll) return [{ target: mark(options) }];
  return fromPods.length === 0 ? [] : [...fromPods.map((m): Rule => ({ ...m, target: { kind: "return" } })), { target: mark(options) }];
}

/** Cluster IPs of a range. Marks come before the choice, and are taken away from what no Service wanted. */
export function clusterRangeRules(services: Chain, marking: boolean, options: IptablesOptions): Chain {
  return marking ? [{ target: jump(chains.offCluster) }, ...services, unmark(options)] : services;
}

const protectedLoopback: Cidr = { ip: "127.0.0.0", bits: 8, family: 4 };

/** Which packets are for this node's node ports. */
export function nodePortMatches(family: IpFamily, nodePortIps: readonly Ip[], options: IptablesOptions): readonly Matches[] {
  const localhost = family === 4 && options.localhostNodePorts;
  if (options.nodePorts === "listed") {
    const ips = localhost ? [...nodePortIps, "127.0.0.1"] : nodePortIps;
    return ips.map((ip) => ({ destination: { cidr: exactly(ip, family), negated: false } }));
  }
  if (localhost) return [{ localDestination: true }];
  const loopback = family === 4 ? protectedLoopback : exactly("::1", 6);
  return [{ destination: { cidr: loopback, negated: true }, localDestination: true }];
}

export function postroutingRules({ masqueradeMark }: IptablesOptions): Chain {
  return [
    { states: { of: ["DNAT"], negated: false }, target: jump(chains.hairpin) },
    { mark: { bits: masqueradeMark, negated: true }, target: { kind: "return" } },
    // or the mark would be seen once more outside a tunnel
    { target: { kind: "mark", value: masqueradeMark, mask: 0 } },
    { target: { kind: "masquerade", fullyRandom: true } },
  ];
}

/** A pod that is its own endpoint would not know its own answer. */
export function hairpinRule(ip: Ip, family: IpFamily): Rule {
  const self = { cidr: exactly(ip, family), negated: false };
  return { source: self, destination: self, states: { of: ["DNAT"], negated: false }, target: { kind: "masquerade", fullyRandom: true } };
}

export const rejectRules: Chain = [
  // connect() does not take a plain reject of IPv6 TCP for a refusal
  { protocol: "tcp", target: { kind: "reject", with: "tcp-reset" } },
  { target: { kind: "reject", with: "port-unreachable" } },
];

const isNew: Matches = { states: { of: ["NEW"], negated: false } };

/** filter: the ways in, through and out. `health`: whether there are ports to let load balancers ask on. */
export function filterEntries(
  family: IpFamily,
  options: IptablesOptions,
  health: boolean,
): Readonly<Record<"input" | "forward" | "output", Chain>> {
  const counting: Matches = options.counted ? { counter: counters.invalid } : {};
  const refuse: Rule = { ...isNew, target: jump(chains.refusals) };
  // route_localnet, which node ports on localhost need, would let neighbours reach what listens on 127.0.0.1
  const martians: readonly Rule[] =
    family === 4 && options.localhostNodePorts
      ? [
          {
            source: { cidr: protectedLoopback, negated: true },
            destination: { cidr: protectedLoopback, negated: false },
            states: { of: ["RELATED", "ESTABLISHED", "DNAT"], negated: true },
            target: { kind: "drop" },
          },
        ]
      : [];
  return {
    input: [...martians, ...(health ? [{ protocol: "tcp", target: jump(chains.health) } as const] : []), refuse],
    forward: [
      refuse,
      // an answer that the kernel takes for no connection's would reach the client from an address it never asked, and end it
      ...(options.dropInvalid ? [{ states: { of: ["INVALID"], negated: false }, ...counting, target: { kind: "drop" } } as const] : []),
      { mark: { bits: options.masqueradeMark, negated: false }, target: { kind: "accept" } },
      { states: { of: ["RELATED", "ESTABLISHED"], negated: false }, target: { kind: "accept" } },
    ],
    output: [...martians, refuse],
  };
}

export function healthRule(port: number): Rule {
  return { protocol: "tcp", ports: { from: port, to: port }, target: { kind: "accept" } };
}

/** What a connection was translated to is nobody's refusal. */
export const translatedReturn: Rule = { states: { of: ["DNAT"], negated: false }, target: { kind: "return" } };

export function untrackedRules(ips: readonly Ip[], family: IpFamily): Chain {
  return ips.flatMap((ip): Rule[] => {
    const self = { cidr: exactly(ip, family), negated: false };
    return [
      { destination: self, target: { kind: "untrack" } },
      { source: self, target: { kind: "untrack" } },
    ];
  });
}

export const hooks: readonly Hook[] = [
  { table: "raw", builtIn: "PREROUTING", chain: chains.untracked },
  { table: "raw", builtIn: "OUTPUT", chain: chains.untracked },
  { table: "nat", builtIn: "PREROUTING", chain: chains.services },
  { table: "nat", builtIn: "OUTPUT", chain: chains.services },
  { table: "nat", builtIn: "POSTROUTING", chain: chains.postrouting },
  { table: "filter", builtIn: "INPUT", chain: chains.input },
  { table: "filter", builtIn: "FORWARD", chain: chains.forward },
  { table: "filter", builtIn: "OUTPUT", chain: chains.output },
];
