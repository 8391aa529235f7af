import assert from "node:assert/strict";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import type { Proxier } from "../../rules/index.ts";
import type { ProxierConfig } from "../../rules/sync/config.ts";
import { IpvsTarget } from "../../rules/sync/ipvs-target.ts";
import { leftoversOf } from "../../rules/sync/leftovers.ts";
import { ProxierMetrics } from "../../rules/sync/metrics.ts";
import { runProxier } from "../../rules/sync/proxier.ts";
import { ipvsProgramOptionsOf } from "../../rules/sync/surroundings.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Conntrack } from "../../src/kernel/conntrack.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { commandsIn, inNetns } from "../support/in-netns.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { labAddresses, labPodCidrs, type RulesLab } from "../support/rules-lab.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../support/rules-objects.ts";
import { leftoversIn } from "../support/rules-start.ts";
import { answerWithinMs, eventually, sharedLab } from "./lab.ts";

type Pod = "a1" | "a2" | "b1" | "b2";
export const vip = "10.96.0.20";
const ports = [
  { name: "t", port: 80, protocol: "TCP" },
  { name: "u", port: 80, protocol: "UDP" },
];
function slice(pods: readonly Pod[]) {
  return makeSlice(
    "web",
    pods.map((p) => ({ ip: labAddresses[p][4], node: p[0] ?? "" })),
    {
      ports: [
        { name: "t", protocol: "TCP", port: 8080 },
        { name: "u", protocol: "UDP", port: 8080 },
      ],
    },
  );
}

export interface Life {
  readonly lab: RulesLab;
  readonly store: SnapshotStore;
  /** Starts an agent's rules in node `a`; `through`: the door to its servers, made of the real one. */
  start(
    more?: Partial<ProxierConfig>,
    through?: (servers: IpvsApplier) => IpvsApplier,
  ): Promise<{ readonly proxier: Proxier; readonly applied: readonly number[] }>;
  /** A command's output in node `a`. */
  inside(command: string, ...args: readonly string[]): string;
}

/** Takes all that is left at the end. */
export async function live(work: (life: Life) => Promise<void>, signal: AbortSignal): Promise<void> {
  const lab = await sharedLab();
  const namespace = lab.namespace("a");
  const run = commandsIn(namespace);
  const rules = createIptablesApplier("nft", iptablesIn(namespace));
  const open = () => inNetns(namespace, () => createIpvsApplier({ through: "netlink", strictArp: false, rules }, run));
  const store = new SnapshotStore();
  fillStore(store, [
    makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a),
    makeService("web", { clusterIP: vip, ports }),
    slice(["b1"]),
  ]);
  const running: Proxier[] = [];
  const start: Life["start"] = async (more = {}, through = (servers) => servers) => {
    const config: ProxierConfig = { store, nodeName: "a", backend: "ipvs", auditIntervalMs: 1000, ...more };
    const applied: number[] = [];
    const target = new IpvsTarget(
      { nodeName: "a", options: ipvsProgramOptionsOf(config) },
      {
        open: () => Promise.resolve({ servers: through(open()), rules }),
        machineIps: () => [...Object.values(labAddresses.a), ...Object.values(labAddresses.aSecond)],
      },
    );
    const deps = {
      clock: systemClock,
      log: () => undefined,
      onApplied: (info: { readonly elements: number }) => void applied.push(info.elements),
    };
    const proxier = runProxier(config, deps, {
      target,
      metrics: new ProxierMetrics(),
      flows: () => inNetns(namespace, () => new Conntrack()),
      leftovers: (backend) => leftoversOf(backend, "fairway", leftoversIn(namespace)),
    });
    running.push(proxier);
    await proxier.ready;
    return { proxier, applied };
  };
  try {
    await work({ lab, store, start, inside: (command, ...args) => lab.run("a", command, args) });
  } finally {
    for (const proxier of running) await proxier.close();
    const applier = open();
    await applier.remove(signal);
    await applier.close();
  }
}

const counter = (proxier: Proxier, name: string): number => Number(new RegExp(`^${name} (.*)$`, "m").exec(proxier.metrics())?.[1]);
const ask = async (lab: RulesLab, protocol: "tcp" | "udp" = "tcp"): Promise<readonly string[]> =>
  lab.agents.a2.probe({ protocol, host: vip, port: 80, count: 2, timeoutMs: answerWithinMs });
const seen = (pod: Pod): string => `${pod} ${labAddresses.a2[4]}`;

const dns = { 4: "10.96.0.10", 6: "fd96::a" } as const;

export const ipvsLifeCases: readonly GuestCase[] = [
  {
    name: "ipvs life: what goes to this node's DNS is answered and never tracked, all else is",
    run: (signal) =>
      live(async ({ lab, store, start, inside }) => {
        inside("ip", "address", "add", `${dns[4]}/32`, "dev", "lo", "scope", "host");
        inside("ip", "address", "add", `${dns[6]}/128`, "dev", "lo", "nodad");
        try {
          for (const host of Object.values(dns)) await lab.agents.a.ask({ do: "serve", name: "dns", host, port: 53 });
          // as the cluster has it: this node serves the address itself
          put(store, "Service", makeService("kube-dns", { clusterIP: dns[4], ports: [{ name: "dns", port: 53, protocol: "UDP" }] }));
          await start({ localDnsIps: Object.values(dns) });
          assert.doesNotMatch(inside("ipvsadm", "-S", "-n"), new RegExp(dns[4]));
          inside("conntrack", "-F");
          for (const family of [4, 6] as const) {
            for (const protocol of ["udp", "tcp"] as const) {
              // a pod of this node, the node itself, and another node
              for (const from of ["a2", "a", "b"] as const) {
                const said = await lab.agents[from].probe({ protocol, host: dns[family], port: 53, timeoutMs: answerWithinMs });
                assert.deepEqual(
                  said.map((line) => line.split(" ")[0]),
                  ["dns"],
                  `${protocol} over IPv${family} from ${from}`,
                );
              }
            }
            const flows = inside("conntrack", "-L", "-f", family === 4 ? "ipv4" : "ipv6");
            assert.doesNotMatch(flows, new RegExp(`=${dns[family]} `));
          }
          assert.deepEqual(await ask(lab), [seen("b1"), seen("b1")]);
          assert.match(inside("conntrack", "-L", "-f", "ipv4"), new RegExp(`=${vip} `));
        } finally {
          inside("ip", "address", "delete", `${dns[4]}/32`, "dev", "lo");
          inside("ip", "address", "delete", `${dns[6]}/128`, "dev", "lo");
        }
      }, signal),
  },
  {
    name: "ipvs life: a restarted agent adopts what is there, and applies what changed while it was away",
    run: (signal) =>
      live(async ({ lab, store, start, inside }) => {
        const first = await start();
        const held = await lab.agents.a2.hold({ protocol: "tcp", host: vip, port: 80 });
        assert.equal(held.said, seen("b1"));
        await first.proxier.close();
        const before = inside("ipvsadm", "-S", "-n");
        const second = await start();
        assert.deepEqual(second.applied, []);
        assert.equal(inside("ipvsadm", "-S", "-n"), before);
        assert.equal(await held.say(), seen("b1"));

        // the endpoint leaves while nobody looks; its connection goes on
        await second.proxier.close();
        put(store, "EndpointSlice", slice(["a1"]), "2");
        const third = await start();
        assert.equal(third.applied.length, 1);
        assert.deepEqual(await ask(lab), [seen("a1"), seen("a1")]);
        assert.equal(await held.say(), seen("b1"));
        assert.match(inside("ipvsadm", "-S", "-n"), new RegExp(`-r ${labAddresses.b1[4]}:8080 -m -w 0`));

        // an agent that ends before the connection does leaves the rest to the next one
        await third.proxier.close();
        await start();
        assert.equal(await held.say(), seen("b1"));
        await held.release();
        await eventually("the endpoint is removed", () => !inside("ipvsadm", "-S", "-n").includes(labAddresses.b1[4]));
      }, signal),
  },
  {
    name: "ipvs life: what others take away or put in is repaired, rules, servers, addresses and entries",
    run: (signal) =>
      live(async ({ lab, start, inside }) => {
        const { proxier } = await start();
        const state = (): readonly string[] => [
          inside("ipvsadm", "-S", "-n"),
          inside("ipset", "save").split("\n").sort().join("\n"),
          inside("ip", "-br", "address", "show", "dev", "kube-ipvs0"),
          inside("iptables-save", "-t", "nat").replaceAll(/^#.*$|\[\d+:\d+\]/gm, ""),
        ];
        const before = state();
        assert.deepEqual(await ask(lab), [seen("b1"), seen("b1")]);
        const damages: readonly (readonly [what: string, ...command: [string, ...string[]]])[] = [
          ["virtual servers flushed", "ipvsadm", "-C"],
          ["an address taken away", "ip", "address", "delete", `${vip}/32`, "dev", "kube-ipvs0"],
          ["the link taken away", "ip", "link", "delete", "kube-ipvs0"],
          ["a real server put in", "ipvsadm", "-a", "-t", `${vip}:80`, "-r", "10.244.9.9:8080", "-m"],
          ["entries taken away", "sh", "-c", "for set in $(ipset list -name | grep FAIRWAY); do ipset flush $set; done"],
          ["rules flushed", "iptables", "-t", "nat", "-F"],
        ];
        for (const [i, [what, command, ...args]] of damages.entries()) {
          inside(command, ...args);
          await eventually(`${what}: repaired`, () => counter(proxier, "fairway_rules_repairs_total") > i);
          assert.deepEqual(state(), before, what);
          assert.deepEqual(await ask(lab), [seen("b1"), seen("b1")], what);
        }
      }, signal),
  },
  {
    name: "ipvs life: a UDP client that goes on sending moves when its endpoint is gone; cleaning up leaves nothing",
    run: (signal) =>
      live(async ({ lab, store, start, inside }) => {
        const { proxier, applied } = await start();
        const udp = await lab.agents.a2.hold({ protocol: "udp", host: vip, port: 80 });
        assert.equal(await udp.say(), seen("b1"));
        const before = applied.length;
        put(store, "EndpointSlice", slice(["a1"]), "2");
        await eventually("applied", () => applied.length > before);
        await eventually("the client moves", async () => (await udp.say()) === seen("a1"));
        await udp.release();

        // an audit would put back what is removed
        await proxier.close();
        const namespace = lab.namespace("a");
        const run = commandsIn(namespace);
        const rules = createIptablesApplier("nft", iptablesIn(namespace));
        const applier = inNetns(namespace, () => createIpvsApplier({ through: "netlink", strictArp: false, rules }, run));
        try {
          await applier.remove(signal);
        } finally {
          await applier.close();
        }
        assert.equal(inside("ipvsadm", "-S", "-n"), "");
        assert.equal(inside("ipset", "save"), "");
        assert.doesNotMatch(inside("ip", "-br", "link"), /kube-ipvs0/);
        for (const save of ["iptables-save", "ip6tables-save"]) assert.doesNotMatch(inside(save), /FAIRWAY/);
      }, signal),
  },
];
