import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cidr, parseCidr } from "../../src/base/cidr.ts";
import { type RunCommand, runCommand } from "../../src/kernel/command.ts";
import type { MachineConfig } from "../../src/node/machine-plan.ts";
import { createMachines, findLeftovers, type MachineDeps, recordedClusters, removeMachines } from "../../src/node/machines.ts";
import { lacking } from "../support/requires.ts";

const cidr = (text: string): Cidr => parseCidr(text) ?? expect.fail(`no range: ${text}`);
const sh = (...argv: string[]): string => execFileSync(argv[0] ?? "", argv.slice(1), { encoding: "utf8" });

/** This machine itself stays as it is: a test that loses its record could not put back what forwards. */
const withoutWayOut: RunCommand = (argv, options, signal) =>
  argv.includes("default") ? Promise.resolve({ code: 0, stdout: "[]", stderr: "" }) : runCommand(argv, options, signal);

function makeConfig(name: string, net: number): MachineConfig {
  return {
    name,
    nodeNames: ["node-1", "node-2"],
    nodeRanges: [cidr(`10.${net}.0.0/24`), cidr(`fd00:${net}::/64`)],
    podRanges: [cidr(`10.${net + 1}.0.0/16`), cidr(`fd00:${net + 1}::/48`)],
    serviceRanges: [cidr(`10.${net + 2}.0.0/16`)],
    loadBalancerRanges: [cidr(`10.${net}.0.128/25`)],
    clusterDns: [`10.${net + 2}.0.10`],
  };
}

describe.skipIf(lacking("ip", "nsenter", "nft") !== undefined)("machines", () => {
  let deps: MachineDeps;
  beforeEach(async () => {
    deps = { run: withoutWayOut, recordFolder: join(tmpdir(), "fw-machines") };
    // What a run that was itself killed has left.
    for (const name of ["h4m-a", "h4m-b"]) await removeMachines(name, deps);
  });
  afterEach(async () => {
    for (const name of ["h4m-a", "h4m-b"]) await removeMachines(name, deps);
    rmSync(deps.recordFolder, { recursive: true, force: true });
  });

  test("two clusters side by side: nodes reach each other and the host, then nothing is left", async () => {
    const a = await createMachines(makeConfig("h4m-a", 201), deps);
    const b = await createMachines(makeConfig("h4m-b", 211), deps);
    expect(a.machines.map((m) => m.ips)).toEqual([
      ["10.201.0.11", "fd00:201::b"],
      ["10.201.0.12", "fd00:201::c"],
    ]);
    expect(sh("ip", "netns")).toContain("fw-h4m-a-node-2");
    await a.setRoutes(new Map([["node-2", [cidr("10.202.1.0/24")]]]));
    expect(sh("ip", "route", "get", "10.202.1.7")).toContain("via 10.201.0.12");
    expect(sh("ip", "route", "get", "10.203.0.1")).toContain("via 10.201.0.11");
    expect(sh("ip", "-n", "fw-h4m-a-node-1", "route", "get", "10.202.1.7")).toContain("via 10.201.0.12");
    expect(sh("ip", "-n", "fw-h4m-a-node-1", "addr", "show", "lo")).toContain("10.203.0.10/32");
    // A refused connection is an answer of the machine itself: it was reached, and nothing listens there.
    const probe = `const s=require("net").connect(9,process.argv[1]);s.setTimeout(30000,()=>{console.log("lost");process.exit()});s.on("error",e=>console.log(e.code))`;
    for (const ip of ["10.201.0.1", "10.201.0.12", "fd00:201::c"]) {
      expect(sh("ip", "netns", "exec", "fw-h4m-a-node-1", process.execPath, "-e", probe, ip).trim()).toBe("ECONNREFUSED");
    }
    expect(sh("ip", "netns", "exec", "fw-h4m-b-node-1", "cat", "/proc/sys/net/ipv4/ip_forward").trim()).toBe("1");
    await Promise.all([a.close(), b.close()]);
    await a.close();
    // Others may make links and routes of theirs meanwhile.
    const seen = `${sh("ip", "-br", "link")}${sh("ip", "route")}${sh("ip", "-6", "route")}${sh("ip", "netns")}`;
    expect(seen.split("\n").filter((l) => /h4m|10\.2[01][123]\.|fd00:2[01]1:/.test(l))).toEqual([]);
  });

  test("a range that the machine uses is refused by name, and nothing is made", async () => {
    const a = await createMachines(makeConfig("h4m-a", 201), deps);
    await expect(createMachines({ ...makeConfig("h4m-b", 211), podRanges: [cidr("10.200.0.0/13")] }, deps)).rejects.toThrow(
      /the pod range 10\.200\.0\.0\/13 overlaps 10\.20\d\.\S+ on fw-h4m-a/,
    );
    expect(await findLeftovers("h4m-b", deps)).toEqual({ netns: [], links: [] });
    await a.close();
  });

  test("what a killed cluster left is found, removed, and made anew", async () => {
    await createMachines(makeConfig("h4m-a", 201), deps);
    expect(await recordedClusters(deps)).toEqual(["h4m-a"]);
    expect((await findLeftovers("h4m-a", deps)).netns).toEqual(["fw-h4m-a-node-1", "fw-h4m-a-node-2"]);
    sh("ip", "link", "delete", "fw-h4m-a");
    const again = await createMachines(makeConfig("h4m-a", 201), deps);
    expect((await findLeftovers("h4m-a", deps)).links).toHaveLength(3);
    await again.close();
    expect(await findLeftovers("h4m-a", deps)).toEqual({ netns: [], links: [] });
  });

  test("without its record, what carries the cluster's name is taken over; what others made is left, and named", async () => {
    await createMachines(makeConfig("h4m-a", 201), deps);
    rmSync(join(deps.recordFolder, "h4m-a.json"));
    expect((await findLeftovers("h4m-a", deps)).links).toHaveLength(3);
    const again = await createMachines(makeConfig("h4m-a", 201), deps);
    rmSync(join(deps.recordFolder, "h4m-a.json"));
    await again.close();
    expect(await findLeftovers("h4m-a", deps)).toEqual({ netns: [], links: [] });
    sh("ip", "link", "add", "fw-h4m-a", "type", "veth", "peer", "name", "h4m-peer");
    try {
      await expect(createMachines(makeConfig("h4m-a", 201), deps)).rejects.toThrow(/'ip link delete fw-h4m-a' removes it/);
      expect(sh("ip", "-br", "link")).toContain("fw-h4m-a");
    } finally {
      sh("ip", "link", "delete", "fw-h4m-a");
    }
  });

  test("pods reach outside addresses as the machine itself; nothing new comes in by that way, and nothing stays open", async () => {
    // A machine and a world of our own: h4m-host stands for this one.
    const inHost = (...argv: string[]): string => sh("nsenter", "--net=/run/netns/h4m-host", ...argv);
    const inWorld = (...argv: string[]): string => sh("nsenter", "--net=/run/netns/h4m-world", ...argv);
    const forwarding = (): string =>
      inHost("sh", "-c", "cd /proc/sys/net; cat ipv4/conf/up0/forwarding ipv4/ip_forward ipv6/conf/up0/force_forwarding 2>&1; true");
    const lab: MachineDeps = {
      ...deps,
      run: (argv, options, signal) => runCommand(["nsenter", "--net=/run/netns/h4m-host", ...argv], options, signal),
    };
    const places = ["h4m-host", "h4m-world"];
    // What a run that was itself killed has left.
    for (const ns of places) execFileSync("sh", ["-c", `ip netns delete ${ns} 2>/dev/null || true`]);
    for (const ns of places) sh("ip", "netns", "add", ns);
    try {
      inHost("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", "h4m-world");
      inHost(
        "sh",
        "-c",
        "ip addr add 198.18.0.1/24 dev up0; ip addr add fd00:18::1/64 dev up0 nodad; ip link set up0 up; ip link set lo up; echo 0 > /proc/sys/net/ipv4/ip_forward",
      );
      inWorld(
        "sh",
        "-c",
        "ip addr add 198.18.0.2/24 dev eth0; ip addr add fd00:18::2/64 dev eth0 nodad; ip link set eth0 up; ip link set lo up; ip route add 10.202.0.0/16 via 198.18.0.1; ip route add fd00:202::/32 via fd00:18::1",
      );
      inHost("ip", "route", "add", "default", "via", "198.18.0.2");
      inHost("ip", "route", "add", "default", "via", "fd00:18::2");
      const before = forwarding();
      const a = await createMachines(makeConfig("h4m-a", 201), lab);
      const b = await createMachines(makeConfig("h4m-b", 211), lab);
      // Before Linux 6.17 no link forwards IPv6 by itself.
      const ways = existsSync("/proc/sys/net/ipv6/conf/lo/force_forwarding") ? [4, 6] : [4];
      expect([a.wayOut, b.wayOut]).toEqual([ways, ways]);
      await a.setRoutes(new Map([["node-1", [cidr("10.202.1.0/24"), cidr("fd00:202:0:1::/64")]]]));
      for (const address of ["10.202.1.7/32", "fd00:202:0:1::7/128"])
        sh("ip", "-n", "fw-h4m-a-node-1", "addr", "add", address, "dev", "lo");
      const answer = 'require("net").createServer(s=>s.end(s.remoteAddress)).listen(7777,()=>console.log("up"))';
      const world = spawn("nsenter", ["--net=/run/netns/h4m-world", process.execPath, "-e", answer]);
      const pod = spawn("nsenter", ["--net=/run/netns/fw-h4m-a-node-1", process.execPath, "-e", answer]);
      try {
        await Promise.all([world, pod].map((child) => once(child.stdout, "data")));
        const ask = `const[h,l,t]=process.argv.slice(1);const s=require("net").connect({host:h,port:7777,localAddress:l||undefined});s.setTimeout(Number(t??30000),()=>{console.log("lost");process.exit()});s.on("data",d=>console.log(String(d)));s.on("error",e=>console.log(e.code))`;
        const fromPod = sh("nsenter", "--net=/run/netns/fw-h4m-a-node-1", process.execPath, "-e", ask, "198.18.0.2", "10.202.1.7");
        expect(fromPod.trim().replace("::ffff:", "")).toBe("198.18.0.1");
        if (ways.includes(6)) {
          const from6 = sh("nsenter", "--net=/run/netns/fw-h4m-a-node-1", process.execPath, "-e", ask, "fd00:18::2", "fd00:202:0:1::7");
          expect(from6.trim()).toBe("fd00:18::1");
          expect(inWorld(process.execPath, "-e", ask, "fd00:202:0:1::7", "", "1500").trim()).toBe("lost");
        }
        // The machine itself reaches the pod, as itself; the world does not.
        expect(inHost(process.execPath, "-e", ask, "10.202.1.7").trim().replace("::ffff:", "")).toBe("10.201.0.1");
        expect(inWorld(process.execPath, "-e", ask, "10.202.1.7", "", "1500").trim()).toBe("lost");
      } finally {
        world.kill();
        pod.kill();
      }
      await a.close();
      expect(forwarding()).not.toBe(before);
      await b.close();
      expect([forwarding(), inHost("nft", "list", "tables")]).toEqual([before, ""]);
    } finally {
      for (const name of ["h4m-a", "h4m-b"]) await removeMachines(name, lab);
      for (const ns of places) sh("ip", "netns", "delete", ns);
    }
  });
});
