import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { RunCommand } from "../../src/kernel/command.ts";
import { isKernelError } from "../../src/kernel/errors.ts";
import { parseSetSave, printSetStep, type SetStep } from "../../src/kernel/ipset.ts";
import { type IpvsFailure, IpvsNetlink, type IpvsStep, type RealServerUse } from "../../src/kernel/ipvs.ts";
import { parseIpvsSave, parseIpvsUse, printIpvsList, printIpvsStep } from "../../src/kernel/ipvsadm.ts";
import { readLinkAddresses, runLinkSteps } from "../../src/kernel/link.ts";
import {
  matchKey,
  type RealServer,
  type ServiceMatch,
  type SetDefinition,
  type SetEntry,
  serviceLink,
  setPrefix,
  type VirtualService,
} from "../ipvs/values.ts";
import { ApplyError } from "./errors.ts";

/** The table of virtual servers. */
export interface VirtualServers {
  services(signal: AbortSignal): Promise<readonly { readonly service: VirtualService; readonly reals: readonly RealServer[] }[]>;
  use(match: ServiceMatch, signal: AbortSignal): Promise<readonly RealServerUse[]>;
  /** Makes each change, in order; the failed ones. */
  commit(steps: readonly IpvsStep[], signal: AbortSignal): Promise<readonly IpvsFailure[]>;
  close(): void;
}

/** Changes of one request. Between requests others get their turn. */
const stepsAtOnce = 2_000;

/** Over netlink in this process. Throws where that cannot be used from here. */
export function openNetlinkServers(): VirtualServers {
  const ipvs = new IpvsNetlink();
  return {
    services: () => Promise.resolve(ipvs.services().map((service) => ({ service, reals: ipvs.reals(service.match) }))),
    use: (match) => Promise.resolve(ipvs.reals(match)),
    async commit(steps) {
      const failures: IpvsFailure[] = [];
      for (let i = 0; i < steps.length; i += stepsAtOnce) {
        if (i > 0) await new Promise((resolve) => setImmediate(resolve));
        failures.push(...ipvs.commit(steps.slice(i, i + stepsAtOnce)));
      }
      return failures;
    },
    close: () => ipvs.close(),
  };
}

/** The portable way: the command ipvsadm. */
export function openCommandServers(run: RunCommand): VirtualServers {
  const ipvsadm = async (args: readonly string[], input: string, signal: AbortSignal) =>
    command(run, ["ipvsadm", ...args], input, signal, "ipvsadm");
  const services: VirtualServers["services"] = async (signal) => {
    const result = await ipvsadm(["-S", "-n"], "", signal);
    if (result.code !== 0) throw new ApplyError("UNUSABLE", `virtual servers cannot be read: ${result.stderr.trim()}`);
    return parseIpvsSave(result.stdout);
  };
  return {
    services,
    async use(match, signal) {
      const result = await ipvsadm(printIpvsList(match), "", signal);
      return result.code === 0 ? parseIpvsUse(result.stdout) : [];
    },
    async commit(steps, signal) {
      if (steps.length === 0) return [];
      const result = await ipvsadm(["-R"], `${steps.map(printIpvsStep).join("\n")}\n`, signal);
      if (result.code === 0 && result.stderr.trim() === "") return [];
      // it does not say which line failed: one after the other, those that are not done already
      const failures: IpvsFailure[] = [];
      const has = new Map((await services(signal)).map((s) => [matchKey(s.service.match), s]));
      for (const step of steps) {
        if (isDone(step, has)) continue;
        const again = await ipvsadm(printIpvsStep(step).split(" "), "", signal);
        if (again.code !== 0) failures.push({ step, code: codeOf(again.stderr) });
      }
      return failures;
    },
    close: () => undefined,
  };
}

function isDone(
  step: IpvsStep,
  has: ReadonlyMap<string, { readonly service: VirtualService; readonly reals: readonly RealServer[] }>,
): boolean {
  const found = has.get(matchKey(step.kind === "service" ? step.service.match : step.match));
  if (step.kind === "service") return (found !== undefined) === (step.verb !== "delete");
  const real = found?.reals.find((r) => r.ip === step.real.ip && r.port === step.real.port);
  return step.verb === "delete" ? real === undefined : real?.weight === step.real.weight;
}

/** What the kernel must have answered for the command to say so. */
function codeOf(stderr: string): string {
  if (/already exists/i.test(stderr)) return "EEXIST";
  if (/No such service|Service not defined/i.test(stderr)) return "ESRCH";
  if (/No such destination|Destination not/i.test(stderr)) return "ENOENT";
  if (/Permission denied|Operation not permitted/i.test(stderr)) return "EPERM";
  if (/Memory allocation|Cannot allocate/i.test(stderr)) return "ENOMEM";
  return "EINVAL";
}

/** The sets. */
export interface Sets {
  read(signal: AbortSignal): Promise<{ readonly sets: readonly SetDefinition[]; readonly entries: readonly SetEntry[] }>;
  /** In order, up to the first that fails: how many are done, and what was said of the next. */
  commit(steps: readonly SetStep[], signal: AbortSignal): Promise<{ readonly done: number; readonly refusal?: string }>;
}

export function openSets(run: RunCommand): Sets {
  const ipset = (args: readonly string[], input: string, signal: AbortSignal) => command(run, ["ipset", ...args], input, signal, "ipset");
  return {
    async read(signal) {
      const names = await ipset(["list", "-name"], "", signal);
      if (names.code !== 0) throw new ApplyError("UNUSABLE", `sets cannot be read: ${names.stderr.trim()}`);
      let text = "";
      for (const name of names.stdout.split("\n").filter((n) => n.startsWith(setPrefix))) {
        text += (await ipset(["save", name], "", signal)).stdout;
      }
      return parseSetSave(text);
    },
    async commit(steps, signal) {
      if (steps.length === 0) return { done: 0 };
      const result = await ipset(["restore"], `${steps.map(printSetStep).join("\n")}\n`, signal);
      if (result.code === 0) return { done: steps.length };
      const line = Number(/Error in line (\d+)/.exec(result.stderr)?.[1] ?? 1);
      return { done: line - 1, refusal: result.stderr.trim().split("\n")[0] ?? "" };
    },
  };
}

/** The link that holds Services' addresses. */
export interface ServiceLink {
  /** Undefined when there is no link. */
  read(signal: AbortSignal): Promise<readonly Ip[] | undefined>;
  make(signal: AbortSignal): Promise<void>;
  remove(signal: AbortSignal): Promise<void>;
  add(ips: readonly Ip[], signal: AbortSignal): Promise<void>;
  /** One that is not there is no error. */
  delete(ips: readonly Ip[], signal: AbortSignal): Promise<void>;
}

export function openServiceLink(run: RunCommand): ServiceLink {
  const address = (ip: Ip): string => `${ip}/${ipFamily(ip) === 4 ? 32 : 128}`;
  const read = (signal: AbortSignal) => readLinkAddresses(run, serviceLink, signal);
  return {
    read,
    async make(signal) {
      if ((await read(signal)) === undefined) await runLinkSteps(run, [{ kind: "dummy-add", name: serviceLink }], {}, signal);
    },
    async remove(signal) {
      if ((await read(signal)) !== undefined) await runLinkSteps(run, [{ kind: "link-delete", name: serviceLink }], {}, signal);
    },
    add: (ips, signal) =>
      runLinkSteps(
        run,
        ips.map((ip) => ({ kind: "address-add", link: serviceLink, address: address(ip) })),
        {},
        signal,
      ),
    delete: (ips, signal) =>
      runLinkSteps(
        run,
        ips.map((ip) => ({ kind: "address-delete", link: serviceLink, address: address(ip) })),
        { force: true },
        signal,
      ),
  };
}

async function command(run: RunCommand, argv: readonly string[], input: string, signal: AbortSignal, name: string) {
  try {
    return await run(argv, { input }, signal);
  } catch (cause) {
    if (isKernelError(cause, "command-missing")) {
      throw new ApplyError("UNUSABLE", `the command ${name} cannot be run: install the package ${name}`, { cause });
    }
    throw cause;
  }
}
