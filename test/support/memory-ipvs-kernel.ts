import { ApplyError } from "../../rules/apply/errors.ts";
import type { IpvsApplierDeps } from "../../rules/apply/kernel-ipvs-applier.ts";
import {
  matchKey,
  printField,
  type RealServer,
  type SetDefinition,
  type SetEntry,
  setPrefix,
  type VirtualService,
} from "../../rules/ipvs/values.ts";
import type { Ip } from "../../src/base/ip.ts";
import { printSetStep, type SetStep } from "../../src/kernel/ipset.ts";
import type { IpvsStep } from "../../src/kernel/ipvs.ts";
import { printIpvsStep } from "../../src/kernel/ipvsadm.ts";

/** The process ends here, as far as the kernel can tell. */
export class Crash extends Error {}

/** Virtual servers, sets and a link in memory, that answer as a kernel does. Outlives the appliers that change it. */
export class MemoryIpvsKernel {
  readonly services = new Map<string, { service: VirtualService; readonly reals: Map<string, RealServer> }>();
  readonly sets = new Map<string, { readonly set: SetDefinition; readonly entries: Map<string, SetEntry> }>();
  addresses: Set<Ip> | undefined;
  /** Open connections by real server, as `10.96.0.1:80/tcp 10.244.1.2 8080`. */
  readonly active = new Map<string, number>();
  /** Every single change, as its loader's text has it. */
  readonly log: string[] = [];
  /** So many more changes are made, then the process ends. */
  crashAfter = Number.POSITIVE_INFINITY;
  /** The change with this text is refused. */
  refuses: (text: string) => boolean = (text) => text.includes("none-such");
  /** Called after every single change. */
  onChange: () => void = () => undefined;

  doors(): Pick<IpvsApplierDeps, "servers" | "sets" | "link"> {
    return {
      servers: {
        services: () => Promise.resolve([...this.services.values()].map(({ service, reals }) => ({ service, reals: [...reals.values()] }))),
        use: (match) => {
          const key = matchKey(match);
          const reals = [...(this.services.get(key)?.reals ?? [])];
          return Promise.resolve(reals.map(([id, real]) => ({ ...real, active: this.active.get(`${key} ${id}`) ?? 0, inactive: 0 })));
        },
        commit: (steps) =>
          after(() =>
            steps.flatMap((step) => {
              const code = this.#change(printIpvsStep(step), () => this.#serve(step));
              return code === undefined ? [] : [{ step, code }];
            }),
          ),
        setTimeouts: () => Promise.resolve(),
        close: () => undefined,
      },
      sets: {
        read: (_, prefix = setPrefix) => {
          const all = [...this.sets.values()].filter((s) => s.set.name.startsWith(prefix));
          return Promise.resolve({ sets: all.map((s) => s.set), entries: all.flatMap((s) => [...s.entries.values()]) });
        },
        commit: (steps) =>
          after(() => {
            const done: SetStep[] = [];
            for (const step of steps) {
              const code = this.#change(printSetStep(step), () => this.#enter(step));
              if (code !== undefined) {
                const refusal = { step, code: code === "EINVAL" ? "REFUSED" : "DIVERGED", text: `${code}: ${printSetStep(step)}` } as const;
                return { done, refusal };
              }
              done.push(step);
            }
            return { done };
          }),
        close: () => undefined,
      },
      link: {
        read: () => Promise.resolve(this.addresses === undefined ? undefined : [...this.addresses]),
        make: () => after(() => void (this.addresses ??= new Set())),
        remove: () => after(() => void (this.addresses = undefined)),
        add: (ips) =>
          after(() => {
            for (const ip of ips) {
              const code = this.#change(`address add ${ip}`, () => (this.addresses === undefined ? "ENODEV" : void this.addresses.add(ip)));
              if (code !== undefined) throw new ApplyError(code === "EINVAL" ? "REFUSED" : "DIVERGED", `${ip}: ${code}`, { owner: ip });
            }
          }),
        delete: (ips) => after(() => ips.forEach((ip) => void this.#change(`address delete ${ip}`, () => void this.addresses?.delete(ip)))),
        close: () => undefined,
      },
    };
  }

  #change(text: string, make: () => string | undefined): string | undefined {
    if (this.crashAfter <= 0) throw new Crash();
    const code = this.refuses(text) ? "EINVAL" : make();
    if (code !== undefined) return code;
    this.crashAfter--;
    this.log.push(text);
    this.onChange();
    return undefined;
  }

  #serve(step: IpvsStep): string | undefined {
    const key = matchKey(step.kind === "service" ? step.service.match : step.match);
    const found = this.services.get(key);
    if (step.kind === "service") {
      if (step.verb === "add" ? found !== undefined : found === undefined) return step.verb === "add" ? "EEXIST" : "ESRCH";
      if (step.verb === "add") this.services.set(key, { service: step.service, reals: new Map() });
      else if (step.verb === "delete") this.services.delete(key);
      else if (found !== undefined) found.service = step.service;
      return undefined;
    }
    if (found === undefined) return "ESRCH";
    const id = `${step.real.ip} ${step.real.port}`;
    if (step.verb === "add" ? found.reals.has(id) : !found.reals.has(id)) return step.verb === "add" ? "EEXIST" : "ENOENT";
    if (step.verb === "delete") found.reals.delete(id);
    else found.reals.set(id, step.real);
    return undefined;
  }

  #enter(step: SetStep): string | undefined {
    const name = "entry" in step ? step.entry.set : step.set.name;
    const found = this.sets.get(name);
    if (step.verb === "create" ? found !== undefined : found === undefined) return step.verb === "create" ? "EEXIST" : "ENOENT";
    if ("set" in step) {
      if (step.verb === "create") this.sets.set(name, { set: step.set, entries: new Map() });
      else this.sets.delete(name);
      return undefined;
    }
    const id = step.entry.fields.map(printField).join(",");
    if (step.verb === "add" ? found?.entries.has(id) : !found?.entries.has(id)) return "EEXIST";
    if (step.verb === "add") found?.entries.set(id, step.entry);
    else found?.entries.delete(id);
    return undefined;
  }
}

/** As a promise, whatever it throws. */
async function after<T>(work: () => T): Promise<T> {
  await Promise.resolve();
  return work();
}
