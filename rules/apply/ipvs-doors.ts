import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { RunCommand } from "../../src/kernel/command.ts";
import { isKernelError } from "../../src/kernel/errors.ts";
import { parseSetSave, printSetStep, type SetStep } from "../../src/kernel/ipset.ts";
import { IpsetNetlink, type SetFailure } from "../../src/kernel/ipset-netlink.ts";
import { type IpvsFailure, IpvsNetlink, type IpvsStep, type RealServerUse } from "../../src/kernel/ipvs.ts";
import { parseIpvsSave, parseIpvsUse, printIpvsList, printIpvsStep } from "../../src/kernel/ipvsadm.ts";
import { type LinkStep, readLinkAddresses, runLinkSteps } from "../../src/kernel/link.ts";
import { type AddressFailure, LinkNetlink } from "../../src/kernel/link-netlink.ts";
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
import { ApplyError, type ApplyErrorCode } from "./errors.ts";

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
  const ipvsadm = (args: readonly string[], input: string, signal: AbortSignal) =>
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
      const failures: IpvsFailure[] = [];
      const one = async (step: IpvsStep): Promise<void> => {
        const { code, stderr } = await ipvsadm(printIpvsStep(step).split(" "), "", signal);
        if (code !== 0) failures.push({ step, code: codeOf(stderr) });
      };
      if (steps.length <= stepsOneByOne) {
        for (const step of steps) await one(step);
        return failures;
      }
      const before = tableOf(await services(signal));
      const result = await ipvsadm(["-R"], `${steps.map(printIpvsStep).join("\n")}\n`, signal);
      if (result.code === 0 && result.stderr.trim() === "") return [];
      // it does not say which lines failed: those that could not succeed, and those that now fail alone
      const after = tableOf(await services(signal));
      for (const step of steps) {
        const code = advance(before, step);
        if (code !== undefined) failures.push({ step, code });
        else if (!isDone(after, step)) await one(step);
      }
      return failures;
    },
    close: () => undefined,
  };
}

/** So few are quicker one after the other than read before. */
const stepsOneByOne = 3;

/** Weights of real servers by service. */
type Table = Map<string, Map<string, number>>;

function tableOf(found: readonly { readonly service: VirtualService; readonly reals: readonly RealServer[] }[]): Table {
  return new Map(found.map((s) => [matchKey(s.service.match), new Map(s.reals.map((r) => [realKey(r), r.weight]))]));
}

function realKey(real: RealServer): string {
  return `${real.ip} ${real.port}`;
}

/** Makes the change in `table`; why the kernel could not. */
function advance(table: Table, step: IpvsStep): string | undefined {
  const key = matchKey(step.kind === "service" ? step.service.match : step.match);
  const service = table.get(key);
  if (step.kind === "service") {
    if (step.verb === "add" ? service !== undefined : service === undefined) return step.verb === "add" ? "EEXIST" : "ESRCH";
    if (step.verb === "add") table.set(key, new Map());
    if (step.verb === "delete") table.delete(key);
    return undefined;
  }
  if (service === undefined) return "ESRCH";
  const has = service.has(realKey(step.real));
  if (step.verb === "add" ? has : !has) return step.verb === "add" ? "EEXIST" : "ENOENT";
  if (step.verb === "delete") service.delete(realKey(step.real));
  else service.set(realKey(step.real), step.real.weight);
  return undefined;
}

function isDone(table: Table, step: IpvsStep): boolean {
  const service = table.get(matchKey(step.kind === "service" ? step.service.match : step.match));
  // other settings of a service: it is told again
  if (step.kind === "service") return step.verb !== "change" && (service !== undefined) === (step.verb === "add");
  const weight = service?.get(realKey(step.real));
  return step.verb === "delete" ? weight === undefined : weight === step.real.weight;
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
  /** In order; some after one that failed may not be tried. What is done, and what was said of the first that failed. */
  commit(steps: readonly SetStep[], signal: AbortSignal): Promise<SetOutcome>;
  close(): void;
}

export interface SetOutcome {
  readonly done: readonly SetStep[];
  readonly refusal?: { readonly step: SetStep | undefined; readonly code: ApplyErrorCode; readonly text: string };
}

/** Over netlink in this process. Throws where that cannot be used from here. */
export function openNetlinkSets(): Sets {
  const ipset = new IpsetNetlink();
  return {
    read: () => Promise.resolve(ipset.read(setPrefix)),
    async commit(steps) {
      const failures: SetFailure[] = [];
      for (let i = 0; i < steps.length; i += stepsAtOnce) {
        if (i > 0) await new Promise((resolve) => setImmediate(resolve));
        failures.push(...ipset.commit(steps.slice(i, i + stepsAtOnce)));
      }
      const [first] = failures;
      if (first === undefined) return { done: steps };
      const failed = new Set(failures.map((f) => f.step));
      const text = `ipset: ${first.text}: ${printSetStep(first.step)}`;
      return {
        done: steps.filter((s) => !failed.has(s)),
        refusal: { step: first.step, code: setFailureCode(first.step, first.code), text },
      };
    },
    close: () => ipset.close(),
  };
}

function setFailureCode(step: SetStep, code: string): ApplyErrorCode {
  if (code === "EPERM") return "UNUSABLE";
  if (code === "ENOMEM" || code === "ENOBUFS") return "UNAVAILABLE";
  // no such set; it is there already; in use; the entry is there already or is not there
  const divergence = code === "EEXIST" || (code === "ENOENT" && step.verb !== "create") || /410[03]$/.test(code);
  return divergence ? "DIVERGED" : "REFUSED";
}

/** The portable way: the command ipset. */
export function openCommandSets(run: RunCommand): Sets {
  const ipset = (args: readonly string[], input: string, signal: AbortSignal) => command(run, ["ipset", ...args], input, signal, "ipset");
  return {
    async read(signal) {
      const names = await ipset(["list", "-name"], "", signal);
      if (names.code !== 0) throw new ApplyError("UNUSABLE", `sets cannot be read: ${names.stderr.trim()}`);
      const all = names.stdout.split("\n").filter((n) => n !== "");
      const own = all.filter((n) => n.startsWith(setPrefix));
      if (own.length === 0) return { sets: [], entries: [] };
      // others' sets may be large: they are not read
      let text = "";
      if (own.length === all.length) text = (await ipset(["save"], "", signal)).stdout;
      else for (const name of own) text += (await ipset(["save", name], "", signal)).stdout;
      return parseSetSave(text);
    },
    async commit(steps, signal) {
      if (steps.length === 0) return { done: [] };
      const result = await ipset(["restore"], `${steps.map(printSetStep).join("\n")}\n`, signal);
      if (result.code === 0) return { done: steps };
      const failed = Number(/Error in line (\d+)/.exec(result.stderr)?.[1] ?? 1) - 1;
      const text = result.stderr.trim().split("\n")[0] ?? "";
      return { done: steps.slice(0, failed), refusal: { step: steps[failed], code: setRefusalCode(text), text } };
    },
    close: () => undefined,
  };
}

function setRefusalCode(said: string): ApplyErrorCode {
  if (/not permitted/.test(said)) return "UNUSABLE";
  return /already (added|exists)|not added|does not exist|same name|in use by a kernel/.test(said) ? "DIVERGED" : "REFUSED";
}

/** The link that holds Services' addresses. */
export interface ServiceLink {
  /** Undefined when there is no link. */
  read(signal: AbortSignal): Promise<readonly Ip[] | undefined>;
  /** Where it is not there. Throws ApplyError UNUSABLE. */
  make(signal: AbortSignal): Promise<void>;
  remove(signal: AbortSignal): Promise<void>;
  /** All of them, or those before the one that failed. Throws ApplyError. */
  add(ips: readonly Ip[], signal: AbortSignal): Promise<void>;
  /** One that is not there is no error. */
  delete(ips: readonly Ip[], signal: AbortSignal): Promise<void>;
  close(): void;
}

const noLink = "the link for Services' addresses cannot be made (it is a dummy link: kernel module dummy)";

/** Over netlink in this process. Throws where that cannot be used from here. */
export function openNetlinkLink(): ServiceLink {
  const links = new LinkNetlink();
  let known: number | undefined;
  const change = (verb: "add" | "delete", ips: readonly Ip[]): readonly AddressFailure[] => {
    known ??= links.index(serviceLink);
    if (known === undefined) return ips.map((ip) => ({ ip, code: "ENODEV" }));
    const failures = links.commit(verb, known, ips);
    // it may have been made anew, under another number
    if (failures.some((f) => f.code === "ENODEV")) known = undefined;
    return failures;
  };
  return {
    read() {
      known = links.index(serviceLink);
      return Promise.resolve(known === undefined ? undefined : links.addresses(known));
    },
    make() {
      if (links.index(serviceLink) !== undefined) return Promise.resolve();
      try {
        links.addDummy(serviceLink);
        return Promise.resolve();
      } catch (cause) {
        return Promise.reject(new ApplyError("UNUSABLE", `${noLink}: ${String(cause)}`, { cause }));
      }
    },
    remove() {
      if (links.index(serviceLink) !== undefined) links.deleteLink(serviceLink);
      known = undefined;
      return Promise.resolve();
    },
    async add(ips) {
      for (let i = 0; i < ips.length; i += stepsAtOnce) {
        if (i > 0) await new Promise((resolve) => setImmediate(resolve));
        const [failure] = change("add", ips.slice(i, i + stepsAtOnce));
        if (failure === undefined) continue;
        const code =
          failure.code === "ENODEV" ? "DIVERGED" : failure.code === "ENOBUFS" || failure.code === "ENOMEM" ? "UNAVAILABLE" : "REFUSED";
        throw new ApplyError(code, `the address ${failure.ip} cannot be had: ${failure.code}`);
      }
    },
    delete(ips) {
      change("delete", ips);
      return Promise.resolve();
    },
    close: () => links.close(),
  };
}

/** The portable way: the command ip. */
export function openCommandLink(run: RunCommand): ServiceLink {
  const address = (ip: Ip): string => `${ip}/${ipFamily(ip) === 4 ? 32 : 128}`;
  const read = (signal: AbortSignal) => readLinkAddresses(run, serviceLink, signal);
  return {
    read,
    async make(signal) {
      if ((await read(signal)) !== undefined) return;
      try {
        await runLinkSteps(run, [{ kind: "dummy-add", name: serviceLink }], {}, signal);
      } catch (cause) {
        if (!isKernelError(cause)) throw cause;
        throw new ApplyError("UNUSABLE", `${noLink}: ${cause.message}`, { cause });
      }
    },
    async remove(signal) {
      if ((await read(signal)) !== undefined) await runLinkSteps(run, [{ kind: "link-delete", name: serviceLink }], {}, signal);
    },
    async add(ips, signal) {
      const steps = ips.map((ip): LinkStep => ({ kind: "address-add", link: serviceLink, address: address(ip) }));
      try {
        await runLinkSteps(run, steps, {}, signal);
      } catch (cause) {
        if (!isKernelError(cause)) throw cause;
        const diverged = /Cannot find device|does not exist/.test(cause.message);
        throw new ApplyError(diverged ? "DIVERGED" : "REFUSED", cause.message, { cause });
      }
    },
    delete: (ips, signal) =>
      runLinkSteps(
        run,
        ips.map((ip): LinkStep => ({ kind: "address-delete", link: serviceLink, address: address(ip) })),
        { force: true },
        signal,
      ),
    close: () => undefined,
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
