import type { IpFamily } from "../../src/base/ip.ts";
import type { LocalInterface } from "../model/packet.ts";
import { type HashSize, hashSizes, sizeClasses } from "./size-class.ts";
import type { Chain, Element, Key, Rule, ScratchSource, SetDefinition, Statement } from "./statement.ts";

/**
 * Every value fairway writes to `meta priority` (the scratch register, skb->priority) has this top byte; nat-postrouting
 * clears the range before the packet leaves. The packet mark stays whole but for the masquerade bit.
 */
export const scratchBase = 0xa5000000;
/** The local pool's slots start here, the cluster pool's at 0. */
export const localSlotBase = 0x8000;
const hashSeed = 0x6661;

/** What a Service has that asks for affinity and says no more. Its chains are there from the start, so that the first such Service costs no more than any. */
const defaultAffinitySeconds = 10_800;

/** What decides the fixed part of a table. Everything else is elements. */
export interface SkeletonOptions {
  /** Addresses of node ports: a set of them, or every local address but loopback. */
  readonly nodePorts: "listed" | "all-local";
  /** Whether a set says which sources are pods of this node; without it there is no off-cluster masquerade and no pod short circuit. */
  readonly knowsPods: boolean;
  readonly masqueradeAll: boolean;
  /** The bit of the packet mark by which what is masqueraded on the way out is known; the rest of the mark stays whole. */
  readonly masqueradeMark: number;
  /** Addresses served on this node itself (cluster DNS): not tracked, so no Service rule sees them. */
  readonly untracked: boolean;
  /** What connection tracking cannot make sense of is not forwarded. */
  readonly dropInvalid: boolean;
  /** Chains exist for size classes up to this. */
  readonly largestClass: number;
  /** Pods are known by the link they send on, and by nothing else. */
  readonly localInterface?: LocalInterface | undefined;
  /** Hashes by which a pool may be shared. */
  readonly hashes: readonly SlotHash[];
  /** Distinct session affinity timeouts; the position of each is its variant, so it never moves. */
  readonly affinityTimeouts: readonly number[];
}

export const defaultSkeletonOptions: SkeletonOptions = {
  nodePorts: "listed",
  knowsPods: true,
  masqueradeAll: false,
  masqueradeMark: 0x4000, // kube-proxy's; CNIs know it
  untracked: false,
  dropInvalid: true,
  largestClass: 64,
  hashes: [],
  affinityTimeouts: [defaultAffinitySeconds],
};

/** What of a packet is hashed to one of how many slots. */
export interface SlotHash {
  readonly of: "source" | "flow";
  readonly size: HashSize;
}
const hashedParts: readonly SlotHash["of"][] = ["source", "flow"];

/** With one more of them; in an order that does not depend on who came first. */
export function withHash(hashes: readonly SlotHash[], more: SlotHash): readonly SlotHash[] {
  if (hashes.some((h) => h.of === more.of && h.size === more.size)) return hashes;
  return [...hashes, more].sort((a, b) => hashedParts.indexOf(a.of) - hashedParts.indexOf(b.of) || a.size - b.size);
}

/** Numbers that `service-ips` and its like hold, and that the verdict maps turn into chains. */
export const fixedActions = { reject: 0, drop: 1, externalLocal: 2, nodePortLocal: 3, firewall: 4 } as const;

/** How a pool is reached: kind × size class (× affinity timeout) is one chain. */
export type PoolKind =
  | "cluster-ip"
  | "masquerade"
  | "nodeport-masquerade"
  | "balance"
  | "balance-local"
  | "nodeport-balance"
  | "nodeport-balance-local";
const poolKinds: readonly PoolKind[] = [
  "cluster-ip",
  "masquerade",
  "nodeport-masquerade",
  "balance",
  "balance-local",
  "nodeport-balance",
  "nodeport-balance-local",
];

/** The action that sends a frontend to the chain of its pool. `variant` is 0, or 1 + the position of its affinity timeout. */
export function poolAction(kind: PoolKind, sizeClass: number, variant: number): number {
  return 0x100 * (variant + 1) + 0x20 * poolKinds.indexOf(kind) + sizeClass;
}

/** The same for a pool that is shared by a hash. Above the numbers of every affinity timeout. */
export function hashAction(kind: PoolKind, hash: SlotHash): number {
  return 0x800000 + 0x20 * poolKinds.indexOf(kind) + hashSizes.indexOf(hash.size) * hashedParts.length + hashedParts.indexOf(hash.of);
}

export function hashChainName(kind: PoolKind, { of, size }: SlotHash): string {
  return `hash-${of}-${size}-${kind}`;
}

export function poolChainName(kind: PoolKind, size: number, affinitySeconds?: number): string {
  return affinitySeconds === undefined ? `${kind}-${size}` : `affinity-${affinitySeconds}s-${kind}-${size}`;
}

/** Bits as `meta priority` has them. */
export function scratch(n: number): number {
  return scratchBase + n;
}

const serviceKey: Key = ["daddr", "l4proto", "dport"];
const nodePortKey: Key = ["l4proto", "dport"];

export function skeletonSets(family: IpFamily): readonly SetDefinition[] {
  const byAddress = { key: ["address", "protocol", "port"], value: ["number"] } as const;
  const byNodePort = { key: ["protocol", "port"], value: ["number"] } as const;
  return [
    { name: "service-ips", ...byAddress },
    { name: "firewalled-ips", ...byAddress },
    { name: "short-circuit-ips", ...byAddress },
    { name: "local-ips", ...byAddress },
    { name: "affinity-ids", ...byAddress },
    { name: "affinity-local-ids", ...byAddress },
    { name: "service-nodeports", ...byNodePort },
    { name: "short-circuit-nodeports", ...byNodePort },
    { name: "local-nodeports", ...byNodePort },
    { name: "affinity-nodeport-ids", ...byNodePort },
    { name: "affinity-local-nodeport-ids", ...byNodePort },
    { name: "endpoints", key: ["address", "protocol", "port", "number"], value: ["address", "port"] },
    { name: "nodeport-endpoints", key: ["protocol", "port", "number"], value: ["address", "port"] },
    // nft 1.0.6 aborts on a dynamic map whose key is wider than 16 bytes: IPv6 hashes client and id into one number
    { name: "affinity", key: family === 4 ? ["address", "number"] : ["number"], value: ["number"], dynamicSize: 262144 },
    { name: "allowed-sources", key: ["address", "protocol", "port", "address"], interval: true },
    { name: "cluster-ips", key: ["address"] },
    { name: "nodeport-ips", key: ["address"] },
    { name: "pod-cidrs", key: ["address"], interval: true },
    { name: "service-cidrs", key: ["address"], interval: true },
    { name: "local-dns-ips", key: ["address"] },
    { name: "hairpin-connections", key: ["address", "address", "protocol", "port"] },
    { name: "actions", key: ["number"], value: ["verdict"] },
    { name: "firewalled-actions", key: ["number"], value: ["verdict"] },
    { name: "pools", key: ["number"], value: ["verdict"] },
    { name: "version", key: ["number"], value: ["number"] },
  ];
}

/** All chains of a table, each after those it names. */
export function skeletonChains(family: IpFamily, options: SkeletonOptions): readonly Chain[] {
  const chains: Chain[] = [
    // a plain reject of IPv6 TCP is not taken as a refusal by connect(), so TCP gets a reset
    { name: "reject-chain", rules: [rule({ kind: "match-tcp" }, { kind: "reset" }), rule({ kind: "reject" })] },
    { name: "drop-chain", rules: [rule({ kind: "drop" })] },
    // the only rule bound to each map of endpoints: the cost of an element grows with the number of rules that use its map
    { name: "dnat-endpoint", rules: [rule({ kind: "translate", key: [...serviceKey, "scratch"], map: "endpoints" })] },
    { name: "dnat-nodeport-endpoint", rules: [rule({ kind: "translate", key: [...nodePortKey, "scratch"], map: "nodeport-endpoints" })] },
  ];
  const sizes = sizeClasses.filter((size) => size <= options.largestClass);
  for (const [i, size] of sizes.entries()) {
    const smaller = sizes[i - 1];
    for (const place of places) chains.push({ name: `${place.kind}-${size}`, rules: drawRules(place, size, smaller) });
    chains.push(...entryChains(options, (kind) => poolChainName(kind, size)));
  }
  for (const timeout of options.affinityTimeouts) {
    for (const size of sizes) {
      for (const place of places) {
        chains.push({ name: poolChainName(place.kind, size, timeout), rules: affinityRules(family, place, size, timeout) });
      }
      chains.push(...entryChains(options, (kind) => poolChainName(kind, size, timeout)));
    }
  }
  for (const hash of options.hashes) {
    for (const place of places) chains.push({ name: hashChainName(place.kind, hash), rules: hashRules(place, hash) });
    chains.push(...entryChains(options, (kind) => hashChainName(kind, hash)));
  }
  chains.push(
    { name: "external-local", rules: localRules(options, serviceKey, "short-circuit-ips", "local-ips") },
    { name: "nodeport-local", rules: localRules(options, nodePortKey, "short-circuit-nodeports", "local-nodeports") },
    {
      name: "firewall-check",
      rules: [
        rule({ kind: "match-set", key: [...serviceKey, "saddr"], set: "allowed-sources", negated: true }, { kind: "drop" }),
        rule(...lookupAction(serviceKey, "firewalled-ips", "firewalled-actions")),
      ],
    },
    {
      name: "services",
      rules: [
        rule(...lookupAction(serviceKey, "service-ips", "actions")),
        rule(...nodePortMatch(family, options), ...lookupAction(nodePortKey, "service-nodeports", "actions")),
        rule({ kind: "match-set", key: ["daddr"], set: "cluster-ips", negated: false }, { kind: "goto", chain: "reject-chain" }),
        rule({ kind: "match-set", key: ["daddr"], set: "service-cidrs", negated: false }, { kind: "drop" }),
      ],
    },
    ...baseChains(options),
  );
  return chains;
}

/** The elements that belong to the skeleton: which number is which chain. */
export function skeletonElements(options: SkeletonOptions): readonly Element[] {
  const verdict = (set: string, action: number, chain: string): Element => ({ set, key: [scratch(action)], value: [chain] });
  const elements: Element[] = [];
  for (const set of ["actions", "firewalled-actions"]) {
    elements.push(
      verdict(set, fixedActions.reject, "reject-chain"),
      verdict(set, fixedActions.drop, "drop-chain"),
      verdict(set, fixedActions.externalLocal, "external-local"),
    );
  }
  elements.push(verdict("actions", fixedActions.nodePortLocal, "nodeport-local"));
  elements.push(verdict("actions", fixedActions.firewall, "firewall-check"));
  const variants: readonly (number | undefined)[] = [undefined, ...options.affinityTimeouts];
  for (const [variant, timeout] of variants.entries()) {
    for (const [sizeClass, size] of sizeClasses.entries()) {
      if (size > options.largestClass) break;
      for (const kind of poolKinds) {
        for (const set of verdictMapsOf(kind)) {
          elements.push(verdict(set, poolAction(kind, sizeClass, variant), poolChainName(kind, size, timeout)));
        }
      }
    }
  }
  for (const hash of options.hashes) {
    for (const kind of poolKinds) {
      for (const set of verdictMapsOf(kind)) elements.push(verdict(set, hashAction(kind, hash), hashChainName(kind, hash)));
    }
  }
  return elements;
}

/** Three maps, because a chain reached through a verdict map may not look that map up again (EMLINK). */
function verdictMapsOf(kind: PoolKind): readonly string[] {
  if (kind === "masquerade") return ["actions", "firewalled-actions"];
  return kind === "cluster-ip" || kind === "nodeport-masquerade" ? ["actions"] : ["pools"];
}

interface Place {
  readonly kind: PoolKind;
  readonly offset: number;
  readonly translate: string;
  readonly key: Key;
  readonly ids: string;
}
const places: readonly Place[] = [
  { kind: "balance", offset: scratchBase, translate: "dnat-endpoint", key: serviceKey, ids: "affinity-ids" },
  { kind: "balance-local", offset: scratchBase + localSlotBase, translate: "dnat-endpoint", key: serviceKey, ids: "affinity-local-ids" },
  {
    kind: "nodeport-balance",
    offset: scratchBase,
    translate: "dnat-nodeport-endpoint",
    key: nodePortKey,
    ids: "affinity-nodeport-ids",
  },
  {
    kind: "nodeport-balance-local",
    offset: scratchBase + localSlotBase,
    translate: "dnat-nodeport-endpoint",
    key: nodePortKey,
    ids: "affinity-local-nodeport-ids",
  },
];

function rule(...statements: readonly Statement[]): Rule {
  return { statements };
}

function set(source: ScratchSource): Statement {
  return { kind: "set-scratch", source };
}

function draw(place: Place, size: number): Rule {
  return rule(set({ kind: "random", modulus: size, offset: place.offset }), { kind: "jump", chain: place.translate });
}

/** Five draws in the class, one in the next smaller class (always full), index 0, and then nothing is left. */
function drawRules(place: Place, size: number, smaller: number | undefined): readonly Rule[] {
  const rules: Rule[] = [];
  const exact = smaller === undefined || size === smaller + 1; // a class without gaps never misses
  for (let i = 0; i < (exact ? 1 : 5); i++) rules.push(draw(place, size));
  if (!exact && smaller !== undefined) rules.push(draw(place, smaller));
  if (size > 1) rules.push(draw(place, 1));
  rules.push(rule({ kind: "drop" }));
  return rules;
}

/** Every slot is taken. What read the size of a table that has just been replaced by a smaller one gets slot 0. */
function hashRules(place: Place, hash: SlotHash): readonly Rule[] {
  const key: Key = hash.of === "source" ? ["saddr"] : ["saddr", "sport"];
  const slot = set({ kind: "hash-slot", key, modulus: hash.size, seed: hashSeed, offset: place.offset });
  return [rule(slot, { kind: "jump", chain: place.translate }), draw(place, 1), rule({ kind: "drop" })];
}

function affinityRules(family: IpFamily, place: Place, size: number, timeoutSeconds: number): readonly Rule[] {
  const known: readonly Statement[] = [
    set({ kind: "map", key: place.key, map: place.ids }),
    // 32 bits less one: jhash needs a modulus
    ...(family === 6 ? [set({ kind: "hash", key: ["saddr", "scratch"], modulus: 0xffffffff, seed: hashSeed })] : []),
  ];
  const client: Key = family === 4 ? ["saddr", "scratch"] : ["scratch"];
  const choose: readonly Statement[] = [
    { kind: "remember", key: client, map: "affinity", timeoutSeconds, modulus: size, offset: place.offset },
    set({ kind: "map", key: client, map: "affinity" }),
    { kind: "jump", chain: place.translate },
  ];
  const rules = [rule(...known, ...choose)];
  // the remembered slot is empty: forget it and draw another
  for (let i = 0; i < 6; i++) rules.push(rule(...known, { kind: "forget", key: client, map: "affinity" }, ...choose));
  // the map is full: serve without affinity
  for (let i = 0; i < 4; i++) rules.push(draw(place, size));
  rules.push(rule({ kind: "drop" }));
  return rules;
}

function entryChains(options: SkeletonOptions, nameOf: (kind: PoolKind) => string): readonly Chain[] {
  const mark: Statement = { kind: "set-mark", bit: options.masqueradeMark };
  const to = (kind: PoolKind): Rule => rule({ kind: "goto", chain: nameOf(kind) });
  const offCluster: readonly Rule[] = options.masqueradeAll ? [rule(mark)] : fromPod(options, true).map((match) => rule(match, mark));
  return [
    { name: nameOf("cluster-ip"), rules: [...offCluster, to("balance")] },
    { name: nameOf("masquerade"), rules: [rule(mark), to("balance")] },
    { name: nameOf("nodeport-masquerade"), rules: [rule(mark), to("nodeport-balance")] },
  ];
}

function lookupAction(key: Key, map: string, verdicts: string): readonly Statement[] {
  return [set({ kind: "map", key, map }), { kind: "dispatch", map: verdicts }];
}

/** Tells pods of this node from others; nothing where no one can. */
function fromPod({ localInterface, knowsPods }: SkeletonOptions, negated: boolean): readonly Statement[] {
  if (localInterface !== undefined) return [{ kind: "match-interface", interface: localInterface, negated }];
  return knowsPods ? [{ kind: "match-set", key: ["saddr"], set: "pod-cidrs", negated }] : [];
}

/** Traffic policy Local: pods and this node are short-circuited to all endpoints, others get local ones or nothing. */
function localRules(options: SkeletonOptions, key: Key, all: string, local: string): readonly Rule[] {
  return [
    ...fromPod(options, false).map((match) => rule(match, ...lookupAction(key, all, "pools"))),
    rule({ kind: "match-local", field: "saddr" }, { kind: "set-mark", bit: options.masqueradeMark }, ...lookupAction(key, all, "pools")),
    rule(...lookupAction(key, local, "pools")),
    rule({ kind: "drop" }),
  ];
}

function nodePortMatch(family: IpFamily, options: SkeletonOptions): readonly Statement[] {
  if (options.nodePorts === "listed") return [{ kind: "match-set", key: ["daddr"], set: "nodeport-ips", negated: false }];
  const loopback = family === 4 ? ({ ip: "127.0.0.0", bits: 8, family } as const) : ({ ip: "::1", bits: 128, family } as const);
  return [
    { kind: "match-local", field: "daddr" },
    { kind: "match-address", field: "daddr", cidr: loopback, negated: true },
  ];
}

function baseChains(options: SkeletonOptions): readonly Chain[] {
  const untrack: readonly Rule[] = [
    rule({ kind: "match-set", key: ["daddr"], set: "local-dns-ips", negated: false }, { kind: "untrack" }),
    rule({ kind: "match-set", key: ["saddr"], set: "local-dns-ips", negated: false }, { kind: "untrack" }),
  ];
  const raw: readonly Chain[] = options.untracked
    ? [
        { name: "raw-prerouting", hook: { type: "filter", hook: "prerouting", priority: -300 }, rules: untrack },
        { name: "raw-output", hook: { type: "filter", hook: "output", priority: -300 }, rules: untrack },
      ]
    : [];
  const services = rule({ kind: "jump", chain: "services" });
  // an answer that the kernel takes for no connection's is not translated back: the client would get it from an address
  // that it never asked, and end the connection
  const invalid: readonly Chain[] = options.dropInvalid
    ? [
        {
          name: "filter-forward",
          hook: { type: "filter", hook: "forward", priority: 0 },
          rules: [rule({ kind: "match-invalid" }, { kind: "drop" })],
        },
      ]
    : [];
  return [
    ...raw,
    ...invalid,
    // nat chains see the first packet of a connection only: an established packet costs nothing
    { name: "nat-prerouting", hook: { type: "nat", hook: "prerouting", priority: -100 }, rules: [services] },
    { name: "nat-output", hook: { type: "nat", hook: "output", priority: -100 }, rules: [services] },
    {
      name: "nat-postrouting",
      hook: { type: "nat", hook: "postrouting", priority: 100 },
      rules: [
        rule({ kind: "match-scratch" }, { kind: "clear-scratch" }),
        rule(
          { kind: "match-mark", bit: options.masqueradeMark },
          { kind: "clear-mark", bit: options.masqueradeMark },
          { kind: "masquerade" },
        ),
        rule(
          { kind: "match-translated" },
          { kind: "match-set", key: ["saddr", "daddr", "l4proto", "dport"], set: "hairpin-connections", negated: false },
          { kind: "masquerade" },
        ),
      ],
    },
  ];
}
