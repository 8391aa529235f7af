import { matchFamily, type RealServer, type ServiceMatch, type VirtualService } from "../../rules/ipvs/values.ts";
import { parseProtocol } from "../../rules/model/service-port.ts";
import { type Ip, parseIp, printHostPort } from "../base/ip.ts";
import type { IpvsStep, RealServerUse } from "./ipvs.ts";

/** Names of the bits of a scheduler's flags, where it has its own. */
const flagNames: Readonly<Record<string, readonly string[]>> = {
  sh: ["sh-fallback", "sh-port", "flag-3"],
  mh: ["mh-fallback", "mh-port", "flag-3"],
};
const plainFlags = ["flag-1", "flag-2", "flag-3"];

/** One line of `ipvsadm --restore`. */
export function printIpvsStep(step: IpvsStep): string {
  if (step.kind === "service") {
    const name = printMatch(step.service.match);
    if (step.verb === "delete") return `-D ${name}`;
    return `${step.verb === "add" ? "-A" : "-E"} ${name}${printSettings(step.service)}`;
  }
  const real = `${printMatch(step.match)} -r ${printHostPort(step.real.ip, step.real.port)}`;
  if (step.verb === "delete") return `-d ${real}`;
  return `${step.verb === "add" ? "-a" : "-e"} ${real} -m -w ${step.real.weight}`;
}

function printMatch(match: ServiceMatch): string {
  if (match.kind === "fwmark") return `-f ${match.mark}${match.family === 6 ? " -6" : ""}`;
  const option = { tcp: "-t", udp: "-u", sctp: "--sctp-service" }[match.protocol];
  return `${option} ${printHostPort(match.ip, match.port)}`;
}

function printSettings(service: VirtualService): string {
  const names = flagNames[service.scheduler] ?? plainFlags;
  const flags = names.filter((_, bit) => ((service.schedulerFlags ?? 0) >> bit) & 1);
  return [
    ` -s ${service.scheduler}`,
    service.persistenceSeconds === undefined ? "" : ` -p ${service.persistenceSeconds}`,
    service.persistenceSeconds !== undefined && matchFamily(service.match) === 6 ? " -M 128" : "",
    flags.length === 0 ? "" : ` -b ${flags.join(",")}`,
  ].join("");
}

/** What `ipvsadm --save -n` printed. Lines that are no service or real server are passed over. */
export function parseIpvsSave(text: string): readonly { readonly service: VirtualService; readonly reals: readonly RealServer[] }[] {
  const found: { service: VirtualService; reals: RealServer[] }[] = [];
  for (const line of text.split("\n")) {
    const words = line.trim().split(/\s+/);
    const after = (...options: readonly string[]): string | undefined => {
      const at = words.findIndex((w) => options.includes(w));
      return at < 0 ? undefined : words[at + 1];
    };
    if (words[0] === "-A") {
      const match = parseMatch(words, after);
      if (match === undefined) continue;
      const scheduler = after("-s") ?? "";
      const names = flagNames[scheduler] ?? plainFlags;
      const schedulerFlags = (after("-b") ?? "")
        .split(",")
        .reduce((bits, name) => bits | (names.includes(name) ? 1 << names.indexOf(name) : 0), 0);
      const persistence = after("-p");
      found.push({
        service: {
          match,
          scheduler,
          ...(schedulerFlags === 0 ? {} : { schedulerFlags }),
          ...(persistence === undefined ? {} : { persistenceSeconds: Number(persistence) }),
        },
        reals: [],
      });
    } else if (words[0] === "-a") {
      const address = parseHostPort(after("-r") ?? "");
      // the lines of a service's real servers follow it
      if (address !== undefined) found.at(-1)?.reals.push({ ...address, weight: Number(after("-w") ?? 1) });
    }
  }
  return found;
}

/** Real servers with their connections, of what `ipvsadm --list -n` printed for one service. */
export function parseIpvsUse(text: string): readonly RealServerUse[] {
  const reals: RealServerUse[] = [];
  for (const line of text.split("\n")) {
    const [arrow, address = "", , weight, active, inactive] = line.trim().split(/\s+/);
    const of = arrow === "->" ? parseHostPort(address) : undefined;
    if (of !== undefined) reals.push({ ...of, weight: Number(weight), active: Number(active), inactive: Number(inactive) });
  }
  return reals;
}

/** The arguments that list one service. */
export function printIpvsList(match: ServiceMatch): readonly string[] {
  return ["-L", "-n", ...printMatch(match).split(" ")];
}

function parseMatch(words: readonly string[], after: (...options: readonly string[]) => string | undefined): ServiceMatch | undefined {
  const mark = after("-f");
  if (mark !== undefined) return { kind: "fwmark", family: words.includes("-6") ? 6 : 4, mark: Number(mark) };
  for (const [options, name] of [
    [["-t"], "TCP"],
    [["-u"], "UDP"],
    [["--sctp-service"], "SCTP"],
  ] as const) {
    const address = parseHostPort(after(...options) ?? "");
    const protocol = parseProtocol(name);
    if (address !== undefined && protocol !== undefined) return { kind: "address", protocol, ...address };
  }
  return undefined;
}

function parseHostPort(text: string): { readonly ip: Ip; readonly port: number } | undefined {
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  const ip = parseIp(six ?? four ?? "");
  return ip === undefined ? undefined : { ip, port: Number(port) };
}
