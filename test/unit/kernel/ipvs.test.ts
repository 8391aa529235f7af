import { describe, expect, test } from "vitest";
import type { ServiceMatch, SetDefinition, SetEntry, SetField, VirtualService } from "../../../rules/ipvs/values.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { parseSetSave, printSetStep } from "../../../src/kernel/ipset.ts";
import { parseIpvsSave, parseIpvsUse, printIpvsList, printIpvsStep } from "../../../src/kernel/ipvsadm.ts";
import { ipvsSysctls } from "../../../src/kernel/sysctl.ts";

const tcp4: ServiceMatch = { kind: "address", protocol: "tcp", ip: "10.96.0.1", port: 80 };
const udp6: ServiceMatch = { kind: "address", protocol: "udp", ip: "fd96::1", port: 53 };
const sctp4: ServiceMatch = { kind: "address", protocol: "sctp", ip: "10.96.0.1", port: 9 };
const mark4: ServiceMatch = { kind: "fwmark", family: 4, mark: 0x5f000001 };
const mark6: ServiceMatch = { kind: "fwmark", family: 6, mark: 0x5f000001 };

describe("ipvsadm", () => {
  const services: readonly (readonly [VirtualService, string])[] = [
    [{ match: tcp4, scheduler: "rr" }, "-A -t 10.96.0.1:80 -s rr"],
    [{ match: udp6, scheduler: "wlc", persistenceSeconds: 60 }, "-A -u [fd96::1]:53 -s wlc -p 60 -M 128"],
    [{ match: sctp4, scheduler: "sh", schedulerFlags: 3 }, "-A --sctp-service 10.96.0.1:9 -s sh -b sh-fallback,sh-port"],
    [{ match: mark4, scheduler: "mh", schedulerFlags: 2 }, "-A -f 1593835521 -s mh -b mh-port"],
    [{ match: mark6, scheduler: "rr", persistenceSeconds: 10800 }, "-A -f 1593835521 -6 -s rr -p 10800 -M 128"],
  ];
  test.each(services)("%o is printed, and parsed again", (service, line) => {
    expect(printIpvsStep({ verb: "add", kind: "service", service })).toBe(line);
    expect(printIpvsStep({ verb: "change", kind: "service", service })).toBe(line.replace("-A", "-E"));
    expect(parseIpvsSave(`${line}\n`)).toEqual([{ service, reals: [] }]);
  });

  test("real servers", () => {
    const real = { ip: "10.244.1.2", port: 8080, weight: 3 };
    expect(printIpvsStep({ verb: "add", kind: "real", match: tcp4, real })).toBe("-a -t 10.96.0.1:80 -r 10.244.1.2:8080 -m -w 3");
    expect(printIpvsStep({ verb: "change", kind: "real", match: tcp4, real })).toBe("-e -t 10.96.0.1:80 -r 10.244.1.2:8080 -m -w 3");
    expect(printIpvsStep({ verb: "delete", kind: "real", match: tcp4, real })).toBe("-d -t 10.96.0.1:80 -r 10.244.1.2:8080");
    expect(printIpvsStep({ verb: "delete", kind: "service", service: { match: mark6, scheduler: "rr" } })).toBe("-D -f 1593835521 -6");
    const saved = ["-A -t 10.96.0.1:80 -s rr", "-a -t 10.96.0.1:80 -r 10.244.1.2:8080 -m -w 3", "-A -u [fd96::1]:53 -s rr", ""];
    expect(parseIpvsSave(saved.join("\n"))).toEqual([
      { service: { match: tcp4, scheduler: "rr" }, reals: [real] },
      { service: { match: udp6, scheduler: "rr" }, reals: [] },
    ]);
  });

  test("connections of a service's real servers", () => {
    expect(printIpvsList(tcp4)).toEqual(["-L", "-n", "-t", "10.96.0.1:80"]);
    const listed = [
      "Prot LocalAddress:Port Scheduler Flags",
      "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
      "TCP  10.96.0.1:80 rr",
      "  -> 10.244.1.2:8080              Masq    1      7          12        ",
      "  -> [fd44::2]:8080               Masq    0      0          1         ",
    ];
    expect(parseIpvsUse(listed.join("\n"))).toEqual([
      { ip: "10.244.1.2", port: 8080, weight: 1, active: 7, inactive: 12 },
      { ip: "fd44::2", port: 8080, weight: 0, active: 0, inactive: 1 },
    ]);
  });
});

describe("ipset", () => {
  const net = (text: string): SetField => {
    const cidr = parseCidr(text);
    if (cidr === undefined) throw new Error(text);
    return cidr;
  };
  const web: SetField = { protocol: "tcp", port: 80 };
  const rows: readonly (readonly [SetDefinition, readonly SetField[], string])[] = [
    [{ name: "A", type: "hash:ip", family: 4 }, ["10.0.0.1"], "add A 10.0.0.1"],
    [{ name: "B", type: "hash:net", family: 6 }, [net("fd00::/8")], "add B fd00::/8"],
    [{ name: "C", type: "hash:ip,port", family: 4 }, ["10.0.0.1", web], "add C 10.0.0.1,tcp:80"],
    [{ name: "D", type: "hash:ip,port,ip", family: 6 }, ["fd00::1", web, "fd00::2"], "add D fd00::1,tcp:80,fd00::2"],
    [{ name: "E", type: "hash:ip,port,net", family: 4 }, ["10.0.0.1", web, net("10.0.0.0/8")], "add E 10.0.0.1,tcp:80,10.0.0.0/8"],
    [{ name: "F", type: "bitmap:port" }, [{ port: 30080 }], "add F 30080"],
  ];
  test.each(rows)("%o is printed, and parsed again", (set, fields, line) => {
    const entry: SetEntry = { set: set.name, fields };
    expect(printSetStep({ verb: "add", entry })).toBe(line);
    expect(printSetStep({ verb: "delete", entry })).toBe(line.replace("add", "del"));
    const created = printSetStep({ verb: "create", set });
    expect(parseSetSave(`${created}\n${line}\n`)).toEqual({ sets: [set], entries: [entry] });
  });

  test("entries with marks, in sets that have them", () => {
    const set: SetDefinition = { name: "G", type: "hash:ip,port", family: 4, marks: true };
    const entry: SetEntry = { set: "G", fields: ["10.0.0.1", web], mark: 0x5f000001 };
    const line = printSetStep({ verb: "add", entry });
    expect(line).toBe("add G 10.0.0.1,tcp:80 skbmark 0x5f000001");
    expect(printSetStep({ verb: "delete", entry })).toBe("del G 10.0.0.1,tcp:80");
    expect(parseSetSave(`${printSetStep({ verb: "create", set })}\n${line}\n`)).toEqual({ sets: [set], entries: [entry] });
  });

  test("a network of one address is printed without its length; other sets are passed over", () => {
    const text = "create N hash:net family inet hashsize 1024 maxelem 65536\nadd N 192.0.2.1\ncreate M hash:mac\nadd M 00:00:00:00:00:01\n";
    expect(parseSetSave(text)).toEqual({
      sets: [{ name: "N", type: "hash:net", family: 4 }],
      entries: [{ set: "N", fields: [net("192.0.2.1/32")] }],
    });
  });
});

test("settings: ports are reused without waiting on old kernels only; ARP by wish", () => {
  const reuse = (release: string): string | undefined => ipvsSysctls(release, false)["net.ipv4.vs.conn_reuse_mode"];
  expect(["4.19.0-1-amd64", "5.8.18", "5.9.0", "5.10.0-8", "6.1.0-56-cloud-amd64", "6.18.44"].map(reuse)).toEqual([
    "0",
    "0",
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(ipvsSysctls("6.1.0", false)).not.toHaveProperty(["net.ipv4.conf.all.arp_ignore"]);
  expect(ipvsSysctls("6.1.0", true)).toMatchObject({ "net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2" });
});
