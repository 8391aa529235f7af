import type { IpFamily } from "../../src/base/ip.ts";
import { type SetDefinition, type SetType, setPrefix } from "./values.ts";

/** What membership in a set means. The rules that ask are fixed: a change of Services changes entries only. */
export type SetRole =
  /** Addresses on the service link. A packet of this machine to one of them has it as its source too. */
  | "service-ips"
  /** Addresses that are a Service's own: a port that it does not have is refused. */
  | "cluster-ips"
  /** Served frontends, by what happens to the sender's address: cluster IPs, those that hide it, those that keep it. */
  | "cluster"
  | "external"
  | "local"
  /** Frontends with policy Local: the mark that sends pods and this machine to all endpoints. */
  | "short-circuit"
  /** Load balancer addresses with source ranges, and the sources that may use them. */
  | "ranged"
  | "allowed"
  /** Frontends without an endpoint, and those without one on this node. */
  | "reject"
  | "drop"
  /** Endpoints on this node, which might reach themselves. */
  | "loop-back"
  /** Where load balancers ask for a Service's health. */
  | "health-ports";

const types: Readonly<Record<SetRole, SetType>> = {
  "service-ips": "hash:ip",
  "cluster-ips": "hash:ip",
  cluster: "hash:ip,port",
  external: "hash:ip,port",
  local: "hash:ip,port",
  "short-circuit": "hash:ip,port",
  ranged: "hash:ip,port",
  allowed: "hash:ip,port,net",
  reject: "hash:ip,port",
  drop: "hash:ip,port",
  "loop-back": "hash:ip,port,ip",
  "health-ports": "bitmap:port",
};
export const setRoles = Object.keys(types) as readonly SetRole[];

const names: Readonly<Record<IpFamily, Readonly<Record<SetRole, string>>>> = { 4: namesOf(4), 6: namesOf(6) };

function namesOf(family: IpFamily): Readonly<Record<SetRole, string>> {
  const prefix = family === 4 ? setPrefix : `${setPrefix}6-`;
  return Object.fromEntries(setRoles.map((role) => [role, `${prefix}${role.toUpperCase()}`])) as Record<SetRole, string>;
}

/** `FAIRWAY-CLUSTER`, `FAIRWAY-6-CLUSTER` */
export function setName(family: IpFamily, role: SetRole): string {
  return names[family][role];
}

/** All sets of a family; they are there from the start to the end. */
export function setsOf(family: IpFamily): readonly SetDefinition[] {
  return setRoles.map((role) => ({
    name: setName(family, role),
    type: types[role],
    ...(role === "health-ports" ? {} : { family }),
    ...(role === "short-circuit" ? { marks: true } : {}),
  }));
}
