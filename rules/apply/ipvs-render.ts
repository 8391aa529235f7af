import { printHostPort } from "../../src/base/ip.ts";
import { printSetStep } from "../../src/kernel/ipset.ts";
import { printIpvsStep } from "../../src/kernel/ipvsadm.ts";
import { printRuleSet } from "../iptables/print.ts";
import { definitionsOf, type IpvsProgram, itemsOf } from "../ipvs/program.ts";
import { type IpvsItem, itemId, printField, serviceLink } from "../ipvs/values.ts";

/** A node's virtual servers as one JSON document, sorted, with what each loader takes. */
export function printIpvs(program: IpvsProgram): string {
  const held = [...program.held.values()].map((h) => h.wanted);
  const items = held.flatMap((wanted) => [...itemsOf(wanted)]).sort((a, b) => (itemId(a) < itemId(b) ? -1 : 1));
  const services = held
    .flatMap((wanted) => (wanted.kind === "virtual" ? [wanted] : []))
    .map(({ service, reals }) => ({
      ...(service.match.kind === "fwmark"
        ? { fwmark: `0x${service.match.mark.toString(16)}`, family: service.match.family }
        : { address: printHostPort(service.match.ip, service.match.port), protocol: service.match.protocol }),
      scheduler: service.scheduler,
      ...(service.schedulerFlags === undefined ? {} : { schedulerFlags: service.schedulerFlags }),
      ...(service.persistenceSeconds === undefined ? {} : { persistenceSeconds: service.persistenceSeconds }),
      endpoints: reals.map(({ ip, port, weight }) => ({ address: printHostPort(ip, port), weight })),
    }));
  const key = (s: object): string => JSON.stringify(s);
  const sets = definitionsOf(program);
  const ipsets = sets.map(({ name, type, family, marks }) => ({
    name,
    type,
    ...(family === undefined ? {} : { family }),
    ...(marks === true ? { marks } : {}),
    entries: items.flatMap((item) => (item.kind === "entry" && item.entry.set === name ? [printEntry(item)] : [])),
  }));
  const rulesOf = (family: 4 | 6): string =>
    program.rules
      .filter((r) => r.family === family)
      .map(printRuleSet)
      .join("");
  const document = {
    link: serviceLink,
    services: services.sort((a, b) => (key(a) < key(b) ? -1 : 1)),
    ipsets,
    addresses: items.flatMap((item) => (item.kind === "address" ? [item.ip] : [])),
    restore: {
      ipset: lines([
        ...sets.map((set) => printSetStep({ verb: "create", set })),
        ...items.flatMap((item) => (item.kind === "entry" ? [printSetStep({ verb: "add", entry: item.entry })] : [])),
      ]),
      ipvsadm: lines(
        // a service before its real servers
        (["service", "real"] as const).flatMap((kind) => items.flatMap((item) => (item.kind === kind ? [printServer(item)] : []))),
      ),
      ...(program.options.families.includes(4) ? { iptables: rulesOf(4) } : {}),
      ...(program.options.families.includes(6) ? { ip6tables: rulesOf(6) } : {}),
    },
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function printEntry({ entry }: Extract<IpvsItem, { kind: "entry" }>): string {
  return `${entry.fields.map(printField).join(",")}${entry.mark === undefined ? "" : ` mark 0x${entry.mark.toString(16)}`}`;
}

function printServer(item: IpvsItem): string {
  if (item.kind === "service") return printIpvsStep({ verb: "add", kind: "service", service: item.service });
  return item.kind === "real" ? printIpvsStep({ verb: "add", kind: "real", match: item.match, real: item.real }) : "";
}

function lines(of: readonly string[]): string {
  return of.map((line) => `${line}\n`).join("");
}
