import type { ChildProcess } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { kubeProxyOomScore } from "../../rules/config/settings.ts";
import type { Ip } from "../base/ip.ts";
import { bindSocket, closeSocket } from "../kernel/socket.ts";
import type { Log } from "../observe/log.ts";
import { inheritedSockets, type NamedSocket, type SupervisedChild, startChild } from "./child.ts";
import { readConfigured, watchConfigFile } from "./configured.ts";
import { type DaemonConfig, defaultDrainSeconds } from "./daemon-config.ts";
import { dnsRuntime } from "./dns-runtime.ts";
import { type Generations, startGenerations } from "./generations.ts";
import { startHandOver, type TakenOver, takeOver } from "./hand-over.ts";
import { IngressPorts, isIngressPorts, type RefusedPortsMessage, type ServicePort, servicePortSocket } from "./ingress-ports.ts";
import { leave, mayLeave } from "./leave-turn.ts";
import { promptRuntime } from "./prompt-runtime.ts";
import { type Retiring, roleEnvironment } from "./role.ts";
import { isTicketKeys, TicketKeys } from "./ticket-keys.ts";

/** What the agent tells its supervisor when it has learned where cluster DNS answers. */
export interface DnsAddresses {
  readonly type: "dns-addresses";
  readonly ips: readonly Ip[];
}

/**
 * An agent's start makes hundreds of thousands of objects that stay: a young generation that grows in large steps copies most of them
 * once instead of twice or more, and one that begins small gives its memory back when the start is over (measured at 10,000 Services
 * beside one that begins at 16 MiB: 16 MiB less after 400 changes, no more processor time until the rules are in). It grows to 8 MiB at
 * most: with 16 an agent that sees changes all day holds 12 to 14 MiB more, and is hardly faster (within 7 %, either way).
 */
const agentRuntime = [...promptRuntime, "--min-semi-space-size=1", "--semi-space-growth-factor=4", "--max-semi-space-size=8"];
/**
 * Of malloc, for all threads: what the start has freed in one, another can use (6 MiB at 10,000 Services), and so can what was freed after
 * a load of DNS queries (4 MiB before one and 8 after it, at no more processor time).
 */
const oneHeap = { MALLOC_ARENA_MAX: "1" };

/** A port of a Service that another program has is asked for again. Milliseconds. */
const retryPortsEvery = 5_000;
/** Of the ingress, unless it is said how many. */
const mostProcesses = 8;

const upgradeSignal = "SIGUSR2";

/** Answers that wait for servers outside: those give up after two seconds each. Milliseconds. */
const dnsDrainMs = 5000;
/** As long as its predecessor answers, a process may wait for its records. Milliseconds. */
const successorPatienceMs = 20_000;
/** Other nodes that leave are waited for this long at most. Milliseconds. */
const turnWithinMs = 10_000;
/** Questions wait in the socket while a process that died is started again. Bytes, as the kernel counts them. */
const dnsQueueBytes = 8 << 20;

/**
 * One node's daemon. It parses nothing foreign: it binds the sockets, hands them to its children and starts those again
 * that die. Connections wait in a socket's backlog while the child that accepts from it is started again.
 */
export function startSupervisor(base: DaemonConfig, log: Log): Retiring {
  const { config, remarks } = readConfigured(base);
  for (const remark of remarks) log("info", `--config ${base.proxyConfig?.file}: ${remark}`);
  if (config.oomScoreAdj !== undefined) setOomScore(config.oomScoreAdj, log);
  mkdirSync(config.runDir, { recursive: true, mode: 0o700 });
  chmodSync(config.runDir, 0o700);
  const bound: NamedSocket[] = [];
  const children: SupervisedChild[] = [];
  const closing: (() => void)[] = [];
  let taken: TakenOver | undefined;
  /** Another supervisor serves in place of this one: settles when the last connection here has ended. */
  let superseded: Promise<void> | undefined;
  /** While another is about to take over. */
  let handing: PromiseWithResolvers<void> | undefined;
  const over = Promise.withResolvers<void>();
  const ready = Promise.withResolvers<void>();
  let closed = false;
  ready.promise.catch(() => undefined);

  const bind = (name: string, ip: Ip, port: number, type: "tcp" | "udp"): NamedSocket => {
    const queue = name === "dns" && type === "udp" ? { receiveBytes: dnsQueueBytes } : {};
    const socket = taken?.take({ name, ip, port, type }) ?? { ...bindSocket({ ip, port, type, freeBind: true, ...queue }), name };
    bound.push(socket);
    return socket;
  };
  const startRole = (
    role: "agent" | "dns" | "ingress",
    o: {
      readonly name?: string;
      readonly sockets?: readonly NamedSocket[];
      readonly runtimeOptions?: readonly string[];
      readonly onMessage?: (m: unknown, from: ChildProcess) => void;
      readonly told?: DaemonConfig;
    },
  ): SupervisedChild => {
    const { name = role, sockets = [], runtimeOptions = [], onMessage, told = config } = o;
    const args = ["process", role, "--log-level", told.logLevel, "--log-format", told.logFormat];
    return startChild(
      { name, args, runtimeOptions, env: { ...roleEnvironment(told), ...(role === "ingress" ? {} : oneHeap) }, sockets },
      { log, ...(onMessage === undefined ? {} : { onMessage }) },
    );
  };
  const kept = (c: SupervisedChild): SupervisedChild => {
    children.push(c);
    return c;
  };

  let moving: Promise<void> = Promise.resolve();
  const dnsStarted = Promise.withResolvers<void>();
  let dns: { readonly ips: readonly Ip[]; readonly sockets: readonly NamedSocket[]; readonly processes: Generations } | undefined;
  const startDns = (ips: readonly Ip[]): void => {
    const all = [...ips, ...(config.nodeLocalDns ?? [])];
    const sockets = all.flatMap((ip) => [bind("dns", ip, config.dnsPort, "udp"), bind("dns", ip, config.dnsPort, "tcp")]);
    const onMessage = (m: unknown): void => {
      if (isMessage(m, "renew")) change(() => processes.renew());
    };
    const processes = startGenerations({ role: "dns", names: ["dns"], drainMs: dnsDrainMs, log }, (name, generation) => {
      const told = generation === 1 && taken === undefined ? config : { ...config, dnsPatienceMs: successorPatienceMs };
      return startRole("dns", { name, sockets, runtimeOptions: dnsRuntime, onMessage, told });
    });
    dns = { ips, sockets, processes };
    processes.ready.then(dnsStarted.resolve, dnsStarted.reject);
  };
  /** The agent has learned where DNS answers, for the first time or anew. */
  const moveDns = async (ips: readonly Ip[]): Promise<void> => {
    const old = dns;
    if (old?.ips.join() === ips.join()) return;
    dns = undefined;
    await old?.processes.close();
    for (const socket of old?.sockets ?? []) {
      bound.splice(bound.indexOf(socket), 1);
      closeSocket(socket);
    }
    startDns(ips);
  };

  const start = async (): Promise<void> => {
    taken = await takeOver(config);
    if (taken !== undefined) log("info", "takes over from the daemon that runs");
    const has = (part: DaemonConfig["enable"][number]): boolean => config.enable.includes(part);
    const waits: Promise<void>[] = [];
    const inherited = inheritedSockets();
    const ingressSockets = has("ingress")
      ? [
          ...inherited.filter((s) => s.name === "http" || s.name === "https"),
          ...config.ingress.flatMap((i) => [bind("http", i.ip, i.http, "tcp"), bind("https", i.ip, i.https, "tcp")]),
        ]
      : [];
    const asked = has("dns") && config.clusterDns.length === 0;
    if (has("dns")) {
      if (!asked) startDns(config.clusterDns);
      waits.push(dnsStarted.promise);
    }
    const ips = config.ingress.length > 0 ? config.ingress.map((i) => i.ip) : inherited.filter((s) => s.name === "http").map((s) => s.ip);
    const servicePorts = new IngressPorts(ips, log);
    // which are wanted is known only when the agent is: until then those are that were
    servicePorts.adopt(taken?.takeAll(servicePortSocket) ?? []);
    closing.push(() => servicePorts.close());
    let wantedPorts: readonly ServicePort[] = [];
    const changePorts = async (): Promise<void> => {
      // what a process listens at is settled when it starts; what came while others were started is one change
      const { changed, left } = servicePorts.change(closed ? [] : wantedPorts);
      agent?.process?.send({ type: "refused-ports", refused: servicePorts.refused } satisfies RefusedPortsMessage);
      if (changed && !closed) await ingress?.renew();
      servicePorts.release(left);
    };
    const retry = setInterval(() => {
      if (servicePorts.refused.length > 0) change(changePorts);
    }, retryPortsEvery);
    closing.push(() => clearInterval(retry));
    const onMessage = (m: unknown): void => {
      if (isIngressPorts(m)) {
        wantedPorts = m.ports;
        change(changePorts);
      }
      if (isMessage(m, mayLeave)) turn.resolve();
      if (!asked || !isDnsAddresses(m)) return;
      moving = moving
        .then(() => moveDns(m.ips))
        .catch((error: unknown) => {
          log("error", "DNS cannot be served at the cluster's addresses", { error: String(error) });
          dnsStarted.reject(error);
        });
    };
    const startAgent = (told: DaemonConfig): SupervisedChild => kept(startRole("agent", { runtimeOptions: agentRuntime, onMessage, told }));
    agent = startAgent(config);
    waits.push(agent.ready);
    restartAgent = async (told) => {
      // its rules, names and routes stay in force while it starts again
      const old = agent;
      await old?.close();
      if (old !== undefined) children.splice(children.indexOf(old), 1);
      if (!closed) agent = startAgent(told);
    };
    followConfig();
    if (has("ingress")) {
      const processes = config.ingressProcesses || Math.min(availableParallelism(), mostProcesses);
      const keys = new TicketKeys(taken?.ticketKeys);
      ticketKeys = keys;
      closing.push(() => keys.close());
      const onIngressMessage = (m: unknown, from: ChildProcess): void => {
        if (isTicketKeys(m)) keys.answer(from);
      };
      const names = Array.from({ length: processes }, (_, i) => `ingress-${i + 1}`);
      const drainMs = 1000 * (config.ingressDrainSeconds ?? defaultDrainSeconds);
      ingress = startGenerations({ role: "ingress", names, drainMs, log }, (name, _generation, i) =>
        startRole("ingress", { name, sockets: [...ingressSockets, ...servicePorts.socketsFor(i)], onMessage: onIngressMessage }),
      );
      waits.push(ingress.ready);
    }
    await Promise.all(waits);
    taken?.serving();
    startHandingOver(() => [...bound, ...servicePorts.all]);
  };
  const startHandingOver = (sockets: () => readonly NamedSocket[]): void => {
    const door = startHandOver(config, {
      offer: async () => {
        handing = Promise.withResolvers();
        log("info", "another daemon takes over: the agent ends, DNS and the ingress serve on until it does");
        await agent?.close();
        await changing;
        return { sockets: sockets(), ticketKeys: ticketKeys?.current };
      },
      gone: () => {
        log("info", "the other daemon serves; what is left here drains");
        process.off(upgradeSignal, upgrade);
        unwatch();
        superseded = Promise.all([dns?.processes.retire(), ingress?.retire()]).then(() => undefined);
        // in a pod whoever ends is started again; the kubelet ends it
        if (process.env["KUBERNETES_SERVICE_HOST"] === undefined) superseded.then(over.resolve, over.resolve);
        handing?.resolve();
      },
      keep: () => {
        log("warn", "the other daemon did not come to serve; going on");
        change(() => restartAgent(agentConfig));
        handing?.resolve();
      },
    });
    closing.push(() => void door.close());
  };
  let agent: SupervisedChild | undefined;
  let restartAgent = async (_told: DaemonConfig): Promise<void> => undefined;
  let ingress: Generations | undefined;
  let ticketKeys: TicketKeys | undefined;
  /** What the agent was started with last. */
  let agentConfig = config;
  let changing: Promise<void> = Promise.resolve();
  const change = (work: () => Promise<void>): void => {
    changing = changing
      .then(work)
      .catch((error: unknown) => log("error", `${error instanceof Error ? error.message : String(error)}; going on with what was before`));
  };
  let unwatch = (): void => undefined;
  /** A new configuration is for the agent alone. */
  const followConfig = (): void => {
    const { proxyConfig } = base;
    if (proxyConfig === undefined) return;
    const take = async (): Promise<void> => {
      const next = readConfigured(base);
      if (closed || JSON.stringify(next.config) === JSON.stringify(agentConfig)) return;
      agentConfig = next.config;
      log("info", `--config ${proxyConfig.file} has changed; the agent starts again with it`);
      for (const remark of next.remarks) log("info", `--config ${proxyConfig.file}: ${remark}`);
      await restartAgent(agentConfig);
    };
    unwatch = watchConfigFile(proxyConfig.file, () => change(take));
  };
  /** SIGUSR2: the program on disk has been replaced. */
  const upgrade = (): void => {
    log("info", "upgrade: the agent, DNS and the ingress start anew from the program as it is now");
    change(async () => {
      if (closed) return;
      await restartAgent(agentConfig);
      await Promise.all([dns?.processes.renew(), ingress?.renew()]);
    });
  };
  const turn = Promise.withResolvers<void>();
  /** DNS ends first, when no other node's is about to: its agent holds this node's turn until then. */
  const leaveInTurn = async (): Promise<void> => {
    const asked = agent?.process;
    if (config.leavesInTurn !== true || dns === undefined || asked?.connected !== true) return;
    const late = setTimeout(turn.resolve, turnWithinMs);
    asked.once("exit", turn.resolve);
    asked.send({ type: leave });
    await turn.promise;
    clearTimeout(late);
    await dns.processes.close();
  };
  process.on(upgradeSignal, upgrade);
  start().then(ready.resolve, ready.reject);

  return {
    ready: ready.promise,
    over: over.promise,
    close: async () => {
      // until the other serves, this one must
      await handing?.promise;
      closed = true;
      taken?.close();
      // who ends it because another has its place does not mean its connections
      await superseded;
      if (superseded === undefined) await leaveInTurn();
      process.off(upgradeSignal, upgrade);
      unwatch();
      ready.reject(new Error("stopped"));
      await moving;
      await Promise.all([...children.map((c) => c.close()), dns?.processes.close(), ingress?.close()]);
      await changing;
      for (const socket of bound) closeSocket(socket);
      bound.length = 0;
      for (const close of closing.splice(0)) close();
    },
  };
}

function isDnsAddresses(message: unknown): message is DnsAddresses {
  return isMessage(message, "dns-addresses");
}

function isMessage(message: unknown, type: string): boolean {
  return typeof message === "object" && message !== null && "type" in message && message.type === type;
}

/** Children inherit it. Below what it is takes a right that a container may lack: then it stays. */
function setOomScore(score: number, log: Log): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", String(score));
  } catch (error) {
    // nobody may have asked for the usual one
    log(score === kubeProxyOomScore ? "info" : "warn", `oomScoreAdj ${score} could not be set`, { error: String(error) });
  }
}
