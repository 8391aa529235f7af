import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";
import type { RecordDelta } from "../zone/record-delta.ts";

/** `10-244-1-9.shop.pod.<zone>`, as it is named with `pods verified`. */
const podName = /^[0-9a-f-]+\.([^.]+)\.pod\.$/;

/** The namespaces of clients, by the names that verified pods have: who asks from a pod's address is that pod. */
export class ClientNamespaces {
  /** Of the first forward zone: others have the same pods. */
  readonly #zone: DomainName | undefined;
  readonly #byIp = new Map<Ip, string>();
  readonly #ips = new Map<DomainName, readonly Ip[]>();

  constructor(zone: DomainName | undefined) {
    this.#zone = zone;
  }

  apply({ upserts, deletes }: RecordDelta): void {
    for (const { key, records } of upserts) {
      const namespace = this.#namespaceOf(key);
      if (namespace === undefined) continue;
      this.#forget(key);
      const ips = records.sets.flatMap(({ data }) =>
        data.flatMap((d) => (d.kind === "A" || d.kind === "AAAA" ? [parseIp(d.ip) ?? d.ip] : [])),
      );
      for (const ip of ips) this.#byIp.set(ip, namespace);
      this.#ips.set(key, ips);
    }
    for (const key of deletes) this.#forget(key);
  }

  of(client: Ip): string | undefined {
    return this.#byIp.get(client);
  }

  #forget(key: DomainName): void {
    for (const ip of this.#ips.get(key) ?? []) if (this.#byIp.get(ip) === this.#namespaceOf(key)) this.#byIp.delete(ip);
    this.#ips.delete(key);
  }

  #namespaceOf(key: DomainName): string | undefined {
    const zone = this.#zone;
    if (zone === undefined || !key.endsWith(`.pod.${zone}`)) return undefined;
    return podName.exec(key.slice(0, key.length - zone.length))?.[1];
  }
}
