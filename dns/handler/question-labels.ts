import { canonicalName, type DomainName, isInZone } from "../wire/name.ts";

/** What a question for one of the cluster's names is about, by CoreDNS's labels; empty for other names, and parts that it has not. */
export function questionLabels(name: DomainName, zones: readonly DomainName[]): ReadonlyMap<string, string> {
  const asked = canonicalName(name);
  const zone = zones.find((z) => isInZone(asked, z) && asked !== z);
  const labels = zone === undefined ? [] : asked.slice(0, asked.length - zone.length - 1).split(".");
  const kind = labels.pop();
  if (kind !== "svc" && kind !== "pod") return new Map();
  const found = new Map([["kubernetes/kind", kind]]);
  const take = (label: string, text: string | undefined): void => {
    if (text !== undefined) found.set(`kubernetes/${label}`, text.replace(/^_/, ""));
  };
  take("namespace", labels.pop());
  if (kind === "svc") take("service", labels.pop());
  if (labels.length === 1) take("endpoint", labels[0]);
  if (labels.length === 2) {
    take("port-name", labels[0]);
    take("protocol", labels[1]);
  }
  return found;
}
