import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cidr, parseCidr } from "../../src/base/cidr.ts";
import { runCommand } from "../../src/kernel/command.ts";
import type { MachineConfig } from "../../src/node/machine-plan.ts";
import { createMachines, findLeftovers, type MachineDeps, recordedClusters, removeMachines } from "../../src/node/machines.ts";
import { lacking } from "../support/requires.ts";

const cidr = (text: string): Cidr => parseCidr(text) ?? expect.fail(`no range: ${text}`);
const sh = (...argv: string[]): string => execFileSync(argv[0] ?? "", argv.slice(1), { encoding: "utf8" });

function makeConfig(name: string, net: number): MachineConfig {
  return {
    name,
    nodeNames: ["node-1", "node-2"],
    nodeRanges: [cidr(`10.${net}.0.0/24`), cidr(`fd00:${net}::/64`)],
    podRanges: [cidr(`10.${net + 1}.0.0/16`)],
    serviceRanges: [cidr(`10.${net + 2}.0.0/16`)],
    loadBalancerRanges: [cidr(`10.${net}.0.128/25`)],
    clusterDns: [`10.${net + 2}.0.10`],
  };
}

describe.skipIf(lacking("ip", "nsenter") !== undefined)("machines", () => {
  let deps: MachineDeps;
  beforeEach(async () => {
    deps = { run: runCommand, recordFolder: join(tmpdir(), "fw-machines") };
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
});
