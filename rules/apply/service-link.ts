import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { RunCommand } from "../../src/kernel/command.ts";
import { isKernelError } from "../../src/kernel/errors.ts";
import { type LinkStep, readLinkAddresses, runLinkSteps } from "../../src/kernel/link.ts";
import { type AddressFailure, LinkNetlink } from "../../src/kernel/link-netlink.ts";
import { serviceLink } from "../ipvs/values.ts";
import { stepsAtOnce } from "./commands.ts";
import { ApplyError, joinRefusals } from "./errors.ts";

/** The link that holds Services' addresses. */
export interface ServiceLink {
  /** Undefined when there is no link. */
  read(signal: AbortSignal): Promise<readonly Ip[] | undefined>;
  /** Where it is not there. Throws ApplyError UNUSABLE. */
  make(signal: AbortSignal): Promise<void>;
  remove(signal: AbortSignal): Promise<void>;
  /** All of them, or some where one failed. Throws ApplyError: the owner of each that is refused is the address. */
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
        const failure = failureOf(change("add", ips.slice(i, i + stepsAtOnce)));
        if (failure !== undefined) throw failure;
      }
    },
    delete(ips) {
      change("delete", ips);
      return Promise.resolve();
    },
    close: () => links.close(),
  };
}

/** What addresses that could not be added mean: the first of them, and with it the others that are refused like it. */
function failureOf(failures: readonly AddressFailure[]): ApplyError | undefined {
  const [first, ...others] = failures.map(({ ip, code }) => {
    const meaning = code === "ENODEV" ? "DIVERGED" : code === "ENOBUFS" || code === "ENOMEM" ? "UNAVAILABLE" : "REFUSED";
    return new ApplyError(meaning, `the address ${ip} cannot be had: ${code}`, { owner: ip });
  });
  return first && joinRefusals(first, others);
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
        const failed = ips[Number(/-:(\d+)/.exec(cause.message)?.[1]) - 1];
        throw new ApplyError(diverged ? "DIVERGED" : "REFUSED", cause.message, { owner: failed, cause });
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
