import type { RunCommand } from "../../src/kernel/command.ts";
import { type IpvsFailure, IpvsNetlink, type IpvsStep, type IpvsTimeouts, type RealServerUse } from "../../src/kernel/ipvs.ts";
import { parseIpvsSave, parseIpvsUse, printIpvsList, printIpvsStep } from "../../src/kernel/ipvsadm.ts";
import { matchKey, type RealServer, type ServiceMatch, type VirtualService } from "../ipvs/values.ts";
import { runKnown, stepsAtOnce } from "./commands.ts";
import { ApplyError, joinRefusals } from "./errors.ts";

/** The table of virtual servers. */
export interface VirtualServers {
  services(signal: AbortSignal): Promise<readonly { readonly service: VirtualService; readonly reals: readonly RealServer[] }[]>;
  use(match: ServiceMatch, signal: AbortSignal): Promise<readonly RealServerUse[]>;
  /** Makes each change, in order; the failed ones. */
  commit(steps: readonly IpvsStep[], signal: AbortSignal): Promise<readonly IpvsFailure[]>;
  /** How long connections without packets are kept. */
  setTimeouts(timeouts: IpvsTimeouts, signal: AbortSignal): Promise<void>;
  close(): void;
}

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
    setTimeouts: (timeouts) => Promise.resolve(ipvs.setTimeouts(timeouts)),
    close: () => ipvs.close(),
  };
}

/** The portable way: the command ipvsadm. */
export function openCommandServers(run: RunCommand): VirtualServers {
  const ipvsadm = (args: readonly string[], input: string, signal: AbortSignal) =>
    runKnown(run, ["ipvsadm", ...args], input, signal, "ipvsadm");
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
    async setTimeouts(t, signal) {
      // 0 leaves one as it is
      const seconds = [t.tcpSeconds, t.tcpFinSeconds, t.udpSeconds].map((n) => `${n ?? 0}`);
      const result = await ipvsadm(["--set", ...seconds], "", signal);
      if (result.code !== 0) throw new ApplyError("REFUSED", `ipvs: the time limits of connections: ${result.stderr.trim()}`);
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

/** What changes that failed mean: the first of them, and with it the others that are refused like it. */
export function serverFailures(failures: readonly IpvsFailure[], ownerOf: (step: IpvsStep) => string | undefined): ApplyError | undefined {
  const [first, ...others] = failures.map((failure) => serverFailure(failure, ownerOf(failure.step)));
  return first && joinRefusals(first, others);
}

/** What a change that failed means. */
export function serverFailure({ step, code }: IpvsFailure, owner: string | undefined): ApplyError {
  const what =
    step.kind === "service" ? `virtual service ${matchKey(step.service.match)}` : `real server ${step.real.ip} of ${matchKey(step.match)}`;
  const message = `ipvs: ${code}: ${step.verb} ${what}`;
  if (code === "EPERM") return new ApplyError("UNUSABLE", message, { owner });
  if (code === "ENOMEM" || code === "ENOBUFS") return new ApplyError("UNAVAILABLE", message, { owner });
  // a service that cannot be found is one thing, a scheduler another
  const missing = code === "ESRCH" || (code === "ENOENT" && step.kind === "real");
  return new ApplyError(missing || code === "EEXIST" ? "DIVERGED" : "REFUSED", message, { owner });
}
