import assert from "node:assert/strict";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import { ProxyPlan } from "../../rules/plan/proxy-plan.ts";
import { IpvsTarget } from "../../rules/sync/ipvs-target.ts";
import { ipvsProgramOptionsOf, planOptionsOf, surroundingsOf } from "../../rules/sync/surroundings.ts";
import type { IptablesMake } from "../../src/kernel/iptables-command.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { commandsIn, inNetns } from "../support/in-netns.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { labAddresses, labPodCidrs, type RulesLab } from "../support/rules-lab.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../support/rules-objects.ts";
import { answerWithinMs, eventually, sharedLab } from "./lab.ts";

const options = { nodeName: "a", nodePortAddresses: "primary" } as const;
const clusterIp = "10.96.0.1";
const externalIp = "198.51.100.1";
const nodePort = 30080;

/** The backend in node `a` of the lab, as the daemon has it, kept as a store says. */
class Backend {
  readonly #lab: RulesLab;
  readonly #plan = new ProxyPlan("a", planOptionsOf(options));
  readonly #cursor: ReturnType<SnapshotStore["cursor"]>;
  readonly target: IpvsTarget;
  readonly servers: IpvsApplier;
  readonly other;

  constructor(lab: RulesLab, make: IptablesMake, store: SnapshotStore) {
    this.#lab = lab;
    const namespace = lab.namespace("a");
    const run = commandsIn(namespace);
    const rules = createIptablesApplier(make, iptablesIn(namespace));
    this.other = createIptablesApplier(make === "nft" ? "legacy" : "nft", iptablesIn(namespace));
    this.servers = inNetns(namespace, () => createIpvsApplier({ through: "netlink", strictArp: false, rules }, run));
    this.target = new IpvsTarget(
      { nodeName: "a", options: ipvsProgramOptionsOf(options) },
      { open: () => Promise.resolve({ servers: this.servers, rules, other: this.other }), machineIps: () => [labAddresses.a[4]] },
    );
    this.#cursor = store.cursor(() => undefined);
  }

  /** Elements that were changed. */
  async sync(signal: AbortSignal): Promise<number> {
    const batch = this.#cursor.take();
    if (batch !== undefined) {
      const delta = this.#plan.apply(batch);
      const around = surroundingsOf(batch.after, this.#plan.node, { ...options, backend: "ipvs" }, () => []);
      this.target.change(delta, around);
    }
    return (await this.target.apply(signal)).changes;
  }

  /** As a process that ends: what is in force stays. */
  async close(): Promise<void> {
    this.#cursor.close();
    await this.target.close();
  }

  run(command: string, ...args: readonly string[]): string {
    return this.#lab.run("a", command, args);
  }
}

async function withBackends(
  work: (lab: RulesLab, open: (make: IptablesMake, store: SnapshotStore) => Promise<Backend>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const lab = await sharedLab();
  const opened: Backend[] = [];
  try {
    await work(lab, async (make, store) => {
      const backend = new Backend(lab, make, store);
      opened.push(backend);
      await backend.target.start(signal);
      await backend.sync(signal);
      return backend;
    });
  } finally {
    for (const backend of opened) await backend.close();
    const last = new Backend(lab, "nft", new SnapshotStore());
    // rules name the sets
    for (const family of [4, 6] as const) await last.other.remove(family, signal);
    await last.servers.remove(signal);
    await last.close();
  }
}

const on = { a1: "a", a2: "a", b1: "b", b2: "b" } as const;
type Pod = keyof typeof on;
const slice = (pods: readonly Pod[], leaving?: Pod) =>
  makeSlice(
    "web",
    pods.map((pod) => ({ ip: labAddresses[pod][4], node: on[pod], terminating: pod === leaving })),
  );

function storeOf(pods: readonly Pod[], more: Partial<Parameters<typeof makeService>[1]> = {}): SnapshotStore {
  const store = new SnapshotStore();
  fillStore(store, [
    makeNode("a", [labAddresses.a[4]], [labPodCidrs.a[0]]),
    makeService("web", {
      type: "NodePort",
      clusterIP: clusterIp,
      externalIPs: [externalIp],
      ports: [{ port: 80, protocol: "TCP", nodePort }],
      ...more,
    }),
    slice(pods),
  ]);
  return store;
}

const ask = async (lab: RulesLab, from: "client" | "a2" | "a", host: string, port = 80, count = 4): Promise<readonly string[]> => {
  const said = await lab.agents[from].probe({ protocol: "tcp", host, port, count, timeoutMs: answerWithinMs });
  return [...new Set(said.map((line) => line.split(" ")[0] ?? ""))].sort();
};

/** Everything of ours in the kernel, for a reader. */
const listed = (backend: Backend): readonly string[] => [
  backend.run("ipvsadm", "-S", "-n"),
  backend.run("ipset", "save"),
  backend.run("ip", "-br", "addr", "show", "dev", "kube-ipvs0"),
  ...["iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save"].map((c) => backend.run(c).replace(/^#.*$|\[\d+:\d+\]/gm, "")),
];

export const ipvsBackendCases: readonly GuestCase[] = [
  {
    name: "backend ipvs: a process with the other make of iptables has its rules in place of the former's; node ports are adopted",
    run: (signal) =>
      withBackends(async (lab, open) => {
        const store = storeOf(["a1", "b1"]);
        const first = await open("nft", store);
        assert.deepEqual(await ask(lab, "client", labAddresses.a[4], nodePort), ["a1", "b1"]);
        const before = listed(first);
        await first.close();
        const second = await open("legacy", store);
        assert.equal(await second.sync(signal), 0, "nothing is left to do");
        assert.deepEqual(listed(second).slice(0, 3), before.slice(0, 3));
        assert.doesNotMatch(second.run("iptables-nft-save"), /FAIRWAY/);
        assert.match(second.run("iptables-legacy-save"), /FAIRWAY-OFF-CLUSTER/);
        assert.deepEqual(await ask(lab, "client", labAddresses.a[4], nodePort), ["a1", "b1"]);
      }, signal),
  },
  {
    name: "backend ipvs: what another proxy left on the service link is taken over, its connections live, and the rest goes",
    run: (signal) =>
      withBackends(async (lab, open) => {
        const inside = (command: string): string => lab.run("a", "sh", ["-c", command]);
        const [a1, b2] = [labAddresses.a1[4], labAddresses.b2[4]];
        inside(
          `ip link add kube-ipvs0 type dummy && ip addr add ${clusterIp}/32 dev kube-ipvs0 && ip addr add 10.96.0.99/32 dev kube-ipvs0`,
        );
        inside(`ipvsadm -A -t ${clusterIp}:80 -s rr && ipvsadm -a -t ${clusterIp}:80 -r ${a1}:8080 -m`);
        inside(`ipvsadm -A -t 10.96.0.99:80 -s lc && ipvsadm -a -t 10.96.0.99:80 -r ${b2}:8080 -m`);
        inside(`ipvsadm -A -t ${labAddresses.a[4]}:${nodePort} -s lc && ipvsadm -a -t ${labAddresses.a[4]}:${nodePort} -r ${b2}:8080 -m`);
        inside("ipset create KUBE-NODE-PORT-TCP bitmap:port range 0-65535 && ipset add KUBE-NODE-PORT-TCP 31234");
        inside(`ipset create KUBE-CLUSTER-IP hash:ip,port && ipset add KUBE-CLUSTER-IP ${clusterIp},tcp:80`);
        inside("iptables-nft -t nat -N KUBE-SERVICES && iptables-nft -t nat -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst");
        inside(`ipvsadm -A -t ${labAddresses.a[4]}:31234 -s rr && ipvsadm -A -t ${labAddresses.a[4]}:31235 -s rr`);
        const held = await lab.agents.a2.hold({ protocol: "tcp", host: clusterIp, port: 80 });
        const backend = await open("nft", storeOf(["a1", "b1"]));
        assert.equal((await held.say()).slice(0, 2), "a1");
        assert.deepEqual(await ask(lab, "client", clusterIp), ["a1", "b1"]);
        assert.deepEqual(await ask(lab, "client", labAddresses.a[4], nodePort), ["a1", "b1"]);
        assert.doesNotMatch(listed(backend).slice(0, 3).join("\n"), /10\.96\.0\.99|31234|KUBE-NODE-PORT/);
        assert.match(backend.run("ipvsadm", "-S", "-n"), /:31235/, "of somebody else");
        await held.release();
        // its rules name this one; they go some day
        assert.match(backend.run("ipset", "list", "-name"), /KUBE-CLUSTER-IP/);
        inside("iptables-nft -t nat -F KUBE-SERVICES && iptables-nft -t nat -X KUBE-SERVICES");
        assert.equal((await backend.target.audit(signal)).repaired, false);
        assert.doesNotMatch(backend.run("ipset", "list", "-name"), /KUBE-/);
        inside(`ipvsadm -D -t ${labAddresses.a[4]}:31235`);
      }, signal),
  },
  {
    name: "backend ipvs: what others take away or change is repaired",
    run: (signal) =>
      withBackends(async (lab, open) => {
        const backend = await open("nft", storeOf(["a1", "b1"], { externalTrafficPolicy: "Local" }));
        const whole = listed(backend).join("\n");
        const repaired = async (...what: readonly (readonly string[])[]): Promise<void> => {
          for (const [command = "", ...args] of what) backend.run(command, ...args);
          assert.equal((await backend.target.audit(signal)).repaired, true, JSON.stringify(what));
          assert.deepEqual(listed(backend).join("\n").split("\n").sort(), whole.split("\n").sort(), JSON.stringify(what));
          assert.equal((await backend.target.audit(signal)).repaired, false);
        };
        await repaired(["ipvsadm", "-C"], ["ipset", "flush"]);
        await repaired(
          ["ipvsadm", "-d", "-t", `${clusterIp}:80`, "-r", `${labAddresses.a1[4]}:8080`],
          ["ipvsadm", "-e", "-t", `${clusterIp}:80`, "-r", `${labAddresses.b1[4]}:8080`, "-m", "-w", "7"],
          ["ipvsadm", "-E", "-t", `${externalIp}:80`, "-s", "lc"],
          ["ipset", "add", "FAIRWAY-REJECT", "192.0.2.1,tcp:80"],
          ["ip", "addr", "add", "10.96.0.77/32", "dev", "kube-ipvs0"],
        );
        await repaired(
          ["ip", "addr", "flush", "dev", "kube-ipvs0"],
          ["iptables-nft", "-t", "nat", "-F"],
          ["iptables-nft", "-t", "mangle", "-F"],
        );
        assert.deepEqual(await ask(lab, "client", externalIp), ["a1"]);
        assert.deepEqual(await ask(lab, "a2", externalIp), ["a1", "b1"]);
      }, signal),
  },
  {
    name: "backend ipvs: a terminating endpoint takes no new connection, of a remembered client neither, and keeps those it has",
    run: (signal) =>
      withBackends(async (lab, open) => {
        const store = storeOf(["a1", "b1"], { sessionAffinity: "ClientIP" });
        const backend = await open("nft", store);
        const held = await lab.agents.a2.hold({ protocol: "tcp", host: clusterIp, port: 80 });
        const [mine = "a1"] = await ask(lab, "a2", clusterIp);
        assert.equal(held.said.slice(0, 2), mine);
        const leaving: Pod = mine === "a1" ? "a1" : "b1";
        const other = mine === "a1" ? "b1" : "a1";
        put(store, "EndpointSlice", slice(["a1", "b1"], leaving), "2");
        await backend.sync(signal);
        assert.deepEqual(await ask(lab, "a2", clusterIp), [other]);
        assert.equal((await held.say()).slice(0, 2), mine);
        assert.equal(backend.servers.draining(), 1);
        assert.equal((await backend.target.audit(signal)).repaired, false);
        // nobody is left: it serves again, rather than nothing
        put(store, "EndpointSlice", slice([leaving], leaving), "3");
        await backend.sync(signal);
        assert.deepEqual(await ask(lab, "a2", clusterIp), [leaving]);
        assert.equal((await held.say()).slice(0, 2), mine);
        await held.release();
      }, signal),
  },
  {
    name: "backend ipvs: a Service without endpoints, and one that is deleted, keeps the connections it has and takes no other",
    run: (signal) =>
      withBackends(async (lab, open) => {
        const store = storeOf(["b1"], { externalTrafficPolicy: "Cluster" });
        const backend = await open("nft", store);
        const servers = (): string => backend.run("ipvsadm", "-S", "-n");
        const inside = await lab.agents.a2.hold({ protocol: "tcp", host: clusterIp, port: 80 });
        const outside = await lab.agents.client.hold({ protocol: "tcp", host: labAddresses.a[4], port: nodePort });
        put(store, "EndpointSlice", slice([]), "2");
        await backend.sync(signal);
        assert.deepEqual(await ask(lab, "client", labAddresses.a[4], nodePort, 1), ["reject"]);
        assert.deepEqual(await ask(lab, "a2", clusterIp, 80, 1), ["reject"]);
        assert.deepEqual(
          [await inside.say(), await outside.say()].map((said) => said.slice(0, 2)),
          ["b1", "b1"],
        );
        assert.equal((await backend.target.audit(signal)).repaired, false);
        // it has endpoints again
        put(store, "EndpointSlice", slice(["a1"]), "3");
        await backend.sync(signal);
        assert.deepEqual(await ask(lab, "a2", clusterIp), ["a1"]);
        assert.equal((await inside.say()).slice(0, 2), "b1");

        store.apply("Service", "test/web", undefined, "9");
        await backend.sync(signal);
        assert.equal((await inside.say()).slice(0, 2), "b1");
        assert.match(servers(), new RegExp(`-a -t ${clusterIp}:80 -r ${labAddresses.b1[4]}:8080 -m -w 0`));
        await inside.release();
        await outside.release();
        await eventually("nothing is left of it", () => servers() === "");
        assert.doesNotMatch(backend.run("ip", "-br", "addr", "show", "dev", "kube-ipvs0"), /10\.96|198\.51/);
      }, signal),
  },
  {
    name: "backend ipvs: a remembered client of policy Local is short-circuited to one endpoint of all",
    run: (signal) =>
      withBackends(async (lab, open) => {
        await open("legacy", storeOf(["a1", "b1", "b2"], { sessionAffinity: "ClientIP", externalTrafficPolicy: "Local" }));
        assert.equal((await ask(lab, "a2", externalIp, 80, 8)).length, 1);
        assert.deepEqual(await ask(lab, "client", externalIp), ["a1"]);
        // hashed by address: the node's and the pod's may differ, each has one
        assert.equal((await ask(lab, "a", labAddresses.a[4], nodePort, 8)).length, 1);
      }, signal),
  },
  {
    name: "backend ipvs: a scheduler that the kernel does not have is fatal, with what to load; others are used by annotation",
    run: (signal) =>
      withBackends(async (lab, open) => {
        const backend = await open("nft", storeOf([]));
        const wrong = new IpvsTarget(
          { nodeName: "a", options: { ...ipvsProgramOptionsOf(options), scheduler: "nosuch" } },
          { open: () => Promise.resolve({ servers: backend.servers, rules: backend.other }), machineIps: () => [] },
        );
        await assert.rejects(wrong.start(signal), /UNUSABLE|no scheduler "nosuch".*ip_vs_nosuch/);
        const store = storeOf(["a1", "b1"]);
        for (const [policy, scheduler] of [
          ["least-connections", "lc"],
          ["maglev", "mh -b mh-fallback,mh-port"],
          ["source-hash", "mh -b mh-fallback"],
        ] as const) {
          const of = makeService(
            "web",
            { clusterIP: clusterIp, externalIPs: [externalIp] },
            { metadata: { namespace: "test", name: "web", annotations: { "fairway.dev/balance": policy } } },
          );
          put(store, "Service", of, policy);
          const next = await open("nft", store);
          assert.match(next.run("ipvsadm", "-S", "-n"), new RegExp(`-A -t ${clusterIp}:80 -s ${scheduler}\\n`));
          assert.equal(
            (await ask(lab, "a2", clusterIp)).every((pod) => pod === "a1" || pod === "b1"),
            true,
          );
          if (policy === "source-hash") assert.equal((await ask(lab, "a2", clusterIp, 80, 8)).length, 1);
          await next.close();
        }
      }, signal),
  },
];
