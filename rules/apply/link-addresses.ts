import type { Ip } from "../../src/base/ip.ts";
import type { ServiceLink } from "./service-link.ts";

/** The service link's addresses, as far as this process knows. */
export class LinkAddresses {
  readonly #link: ServiceLink;
  #known = new Set<Ip>();
  /** The last reading found no link. One that goes away after it means that all its addresses are gone: DIVERGED. */
  #linkGone = false;

  constructor(link: ServiceLink) {
    this.#link = link;
  }

  has(ip: Ip): boolean {
    return this.#known.has(ip);
  }

  /** None where there is no link. */
  async read(signal: AbortSignal): Promise<readonly Ip[]> {
    const found = await this.#link.read(signal);
    this.#linkGone = found === undefined;
    this.#known = new Set(found);
    return found ?? [];
  }

  async add(ips: readonly Ip[], signal: AbortSignal): Promise<void> {
    if (this.#linkGone) await this.#link.make(signal);
    this.#linkGone = false;
    await this.#link.add(ips, signal);
    for (const ip of ips) this.#known.add(ip);
  }

  /** One that is not there is no error. */
  async delete(ips: readonly Ip[], signal: AbortSignal): Promise<void> {
    await this.#link.delete(ips, signal);
    for (const ip of ips) this.#known.delete(ip);
  }

  /** With the link. */
  async remove(signal: AbortSignal): Promise<void> {
    await this.#link.remove(signal);
    this.#linkGone = true;
    this.#known.clear();
  }
}
