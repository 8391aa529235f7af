import { describe, expect, test } from "vitest";
import { kubeNodePortServers, ownServers } from "../../../rules/apply/server-owners.ts";
import type { ServiceMatch, SetEntry, SetField } from "../../../rules/ipvs/values.ts";
import type { Protocol } from "../../../rules/model/service-port.ts";
import type { Ip } from "../../../src/base/ip.ts";

const server = (protocol: Protocol, ip: Ip, port: number): ServiceMatch => ({ kind: "address", protocol, ip, port });
const entry = (set: string, ...fields: readonly SetField[]): SetEntry => ({ set, fields });

describe("virtual servers at node ports of kube-proxy's sets", () => {
  const cases: readonly { name: string; entry: SetEntry; server: ServiceMatch; theirs: boolean }[] = [
    { name: "tcp", entry: entry("KUBE-NODE-PORT-TCP", { port: 30001 }), server: server("tcp", "172.31.7.1", 30001), theirs: true },
    {
      name: "another port",
      entry: entry("KUBE-NODE-PORT-TCP", { port: 30001 }),
      server: server("tcp", "172.31.7.1", 30002),
      theirs: false,
    },
    {
      name: "another protocol",
      entry: entry("KUBE-NODE-PORT-UDP", { port: 30001 }),
      server: server("tcp", "172.31.7.1", 30001),
      theirs: false,
    },
    {
      name: "policy Local",
      entry: entry("KUBE-NODE-PORT-LOCAL-UDP", { port: 30001 }),
      server: server("udp", "172.31.7.1", 30001),
      theirs: true,
    },
    {
      name: "sctp, with its address",
      entry: entry("KUBE-NODE-PORT-SCTP-HASH", "172.31.7.1", { protocol: "sctp", port: 30001 }),
      server: server("sctp", "172.31.7.1", 30001),
      theirs: true,
    },
    { name: "IPv6", entry: entry("KUBE-6-NODE-PORT-TCP", { port: 30001 }), server: server("tcp", "fd00::1", 30001), theirs: true },
    {
      name: "of the other family",
      entry: entry("KUBE-6-NODE-PORT-TCP", { port: 30001 }),
      server: server("tcp", "172.31.7.1", 30001),
      theirs: false,
    },
    {
      name: "no set of node ports",
      entry: entry("KUBE-CLUSTER-IP", "172.31.7.1", { protocol: "tcp", port: 30001 }),
      server: server("tcp", "172.31.7.1", 30001),
      theirs: false,
    },
    {
      name: "behind a mark",
      entry: entry("KUBE-NODE-PORT-TCP", { port: 30001 }),
      server: { kind: "fwmark", family: 4, mark: 30001 },
      theirs: false,
    },
  ];
  for (const one of cases) {
    test(one.name, () => expect(kubeNodePortServers([one.entry])(one.server)).toBe(one.theirs));
  }
});

describe("fairway's own virtual servers", () => {
  const isOwn = ownServers(["10.96.0.1"], [entry("FAIRWAY-NODE-PORTS", "172.31.7.1", { protocol: "tcp", port: 30001 })]);
  const cases: readonly { name: string; server: ServiceMatch; own: boolean }[] = [
    { name: "at the link's address", server: server("udp", "10.96.0.1", 53), own: true },
    { name: "where an entry says", server: server("tcp", "172.31.7.1", 30001), own: true },
    { name: "at another port there", server: server("tcp", "172.31.7.1", 30002), own: false },
    { name: "elsewhere", server: server("tcp", "10.0.0.1", 80), own: false },
    { name: "behind a mark of somebody else's", server: { kind: "fwmark", family: 4, mark: 1 }, own: false },
  ];
  for (const one of cases) test(one.name, () => expect(isOwn(one.server)).toBe(one.own));
});
