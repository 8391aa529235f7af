import { type Cidr, printCidr } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, printHostPort } from "../../src/base/ip.ts";
import { type Protocol, printServicePort, type ServicePortName, type TrafficPolicy } from "../model/service-port.ts";

/** What a packet is addressed to: `10.96.0.1:80/tcp`, `[fd00::1]:80/tcp`, or `nodePort4:30080/tcp` for every node port address. */
export type FrontendKey = string;

export function frontendKey(ip: Ip, port: number, protocol: Protocol): FrontendKey {
  return `${printHostPort(ip, port)}/${protocol}`;
}

export function nodePortKey(family: IpFamily, port: number, protocol: Protocol): FrontendKey {
  return `nodePort${family}:${port}/${protocol}`;
}

export type Scope = "clusterIP" | "externalIP" | "loadBalancerIP" | "nodePort";

export interface Member {
  readonly ip: Ip;
  readonly port: number;
  /** On the node the rules are for; only then can it reach itself through the Service there. */
  readonly local: boolean;
  /** Its share of new connections against the other members'; absent: 1. */
  readonly weight?: number;
}

/**
 * How a pool's members share new connections, each by its weight. `source-hash`: a client's address decides; `maglev`: its
 * address and port do; both change little when members come and go. Absent: `random`.
 */
export type BalancePolicy = "random" | "source-hash" | "maglev" | "least-connections";

/** Endpoints that share connections; shared by all frontends of a ServicePort, policy and family. Sorted by address and port. */
export interface Pool {
  readonly id: string;
  readonly members: readonly Member[];
  readonly balance?: BalancePolicy;
}

export type Action =
  | {
      readonly kind: "balance";
      readonly pool: Pool;
      /** Traffic policy Local: `pool` is for short-circuited sources, this (possibly empty: drop) for all others. */
      readonly localPool?: Pool;
      readonly affinitySeconds?: number;
      /**
       * Of UDP: every endpoint that serves, where some of them get no new flow (they end, or hints, policy or weight pass them
       * over). They keep the flows they have.
       */
      readonly serving?: readonly Pick<Member, "ip" | "port">[];
    }
  | { readonly kind: "reject" }
  | { readonly kind: "drop" };
export type BalanceAction = Extract<Action, { readonly kind: "balance" }>;

/** All that may answer a flow there, some of them more than once. */
export function servers({ pool, localPool, serving }: BalanceAction): readonly Pick<Member, "ip" | "port">[] {
  if (serving !== undefined) return serving;
  return localPool === undefined ? pool.members : [...pool.members, ...localPool.members];
}

export function isServedBy(action: BalanceAction, by: Pick<Member, "ip" | "port">): boolean {
  return servers(action).some((m) => m.ip === by.ip && m.port === by.port);
}

/** Whose source address is rewritten to the node's: nobody's, that of sources that are no pods of this node, everybody's. Hairpins always are. */
export type Masquerade = "never" | "off-cluster" | "always";

export interface Frontend {
  readonly key: FrontendKey;
  readonly scope: Scope;
  readonly family: IpFamily;
  /** Absent for a node port. */
  readonly ip?: Ip;
  readonly port: number;
  readonly protocol: Protocol;
  readonly action: Action;
  readonly masquerade: Masquerade;
  /** Sources that may use it; absent: all. Checked before anything else. No range contains another. */
  readonly sources?: readonly Cidr[];
  readonly owner: ServicePortName;
}

export function poolId(owner: ServicePortName, policy: TrafficPolicy, family: IpFamily): string {
  // joined, not added up: a text that is added up keeps all its parts for as long as it lives (half a KiB for each pool)
  return [printServicePort(owner), owner.protocol, policy, family].join("/");
}

/** Whether two frontends make the same rules. */
export function sameFrontend(a: Frontend, b: Frontend): boolean {
  return (
    a.key === b.key &&
    a.scope === b.scope &&
    a.masquerade === b.masquerade &&
    a.owner.namespace === b.owner.namespace &&
    a.owner.name === b.owner.name &&
    a.owner.port === b.owner.port &&
    sameSources(a.sources, b.sources) &&
    sameAction(a.action, b.action)
  );
}

function sameSources(a: readonly Cidr[] | undefined, b: readonly Cidr[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((cidr, i) => b[i] !== undefined && printCidr(cidr) === printCidr(b[i]));
}

function sameAction(a: Action, b: Action): boolean {
  if (a.kind !== "balance" || b.kind !== "balance") return a.kind === b.kind;
  return (
    a.affinitySeconds === b.affinitySeconds &&
    samePool(a.pool, b.pool) &&
    samePool(a.localPool, b.localPool) &&
    sameServing(a.serving, b.serving)
  );
}

function sameServing(a: BalanceAction["serving"], b: BalanceAction["serving"]): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((m, i) => m.ip === b[i]?.ip && m.port === b[i].port);
}

export function samePool(a: Pool | undefined, b: Pool | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a.id !== b.id || a.members.length !== b.members.length || a.balance !== b.balance) {
    return false;
  }
  return a.members.every((m, i) => {
    const n = b.members[i];
    return n !== undefined && m.ip === n.ip && m.port === n.port && m.local === n.local && m.weight === n.weight;
  });
}
