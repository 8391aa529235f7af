import { expect, test } from "vitest";
import { checkMachine, type MachineProbe } from "../../../src/cli/machine-check.ts";
import { printCheck } from "../../../src/cli/printers/check.ts";

interface World {
  readonly missing?: readonly string[];
  readonly failing?: Readonly<Record<string, string>>;
  readonly caps?: string;
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly ports?: Readonly<Record<number, string>>;
  readonly cgroups?: "v1" | "none";
}

function probe(world: World): MachineProbe {
  const files: Record<string, string | undefined> = {
    "/proc/self/status": `Name:\tx\nCapEff:\t${world.caps ?? "000001ffffffffff"}\n`,
    "/proc/filesystems": "nodev\tproc\nnodev\toverlay\n",
    ...world.files,
  };
  return {
    run: async (command, args) => {
      if (world.missing?.includes(command)) return { status: 127, output: "" };
      const line = [command, ...args].join(" ");
      const failure = Object.entries(world.failing ?? {}).find(([part]) => line.includes(part))?.[1];
      return failure === undefined
        ? { status: 0, output: `${command} version 1.2.3\ngitVersion: v1.32.4\n` }
        : { status: 1, output: `x\n${failure}\n` };
    },
    read: (file) => files[file],
    cgroups: () => world.cgroups ?? "v2",
    bind: async (_, port) => world.ports?.[port],
  };
}

test.each([
  ["nothing missing", {}, "full", []],
  ["a user without root", { caps: "0000000000000000" }, "plain", ["administrator rights"]],
  [
    "a container without capabilities",
    { caps: "00000000a80425fb", failing: { unshare: "unshare failed: Operation not permitted" } },
    "plain",
    ["administrator rights", "namespaces", "links (veth, bridge)", "nf_tables"],
  ],
  [
    "no nf_tables in the kernel",
    { failing: { "nft add table": "Error: Could not process rule: Operation not supported" } },
    "plain",
    ["nf_tables"],
  ],
  ["no crun", { missing: ["crun"] }, "plain", ["container runtime"]],
  ["old control groups", { cgroups: "v1" }, "full", []],
  ["no control groups", { cgroups: "none" }, "full", ["control groups"]],
  ["ports in use", { ports: { 80: "EADDRINUSE", 443: "EACCES" } }, "full", ["port 80", "port 443"]],
  ["no ip_vs", { failing: { modprobe: "modprobe: FATAL: Module ip_vs not found" } }, "full", ["ip_vs (virtual servers)"]],
  ["ip_vs without modprobe", { missing: ["modprobe"], files: { "/proc/net/ip_vs": "IP Virtual Server version 1.2.1" } }, "full", []],
  ["no iptables", { missing: ["iptables", "modprobe"] }, "full", ["iptables", "ip_vs (virtual servers)"]],
  ["no tools", { missing: ["kubectl", "dig", "conntrack"] }, "full", ["conntrack", "kubectl", "curl and dig"]],
] as const)("%s", async (_, world, mode, missing) => {
  const report = await checkMachine(probe(world));
  expect(report.mode).toBe(mode);
  expect(report.findings.filter((f) => !f.ok).map((f) => f.name)).toEqual(missing);
  for (const f of report.findings.filter((g) => !g.ok))
    expect([f.cost, f.fix]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
});

test("what decides the mode can be asked for alone", async () => {
  const report = await checkMachine(probe({ missing: ["crun", "kubectl"] }), ["required"]);
  expect(report.mode).toBe("plain");
  expect(report.findings.filter((f) => !f.ok).map((f) => f.name)).toEqual(["container runtime"]);
  expect(report.findings.every((f) => f.need === "required")).toBe(true);
});

test("text says what is missing, what it costs and how to get it; JSON is one line", async () => {
  const report = await checkMachine(probe({ failing: { "nft add table": "Error: no nf_tables" }, missing: ["dig"] }));
  const text = printCheck(undefined, report);
  expect(text).toMatch(/nf_tables +MISSING +Error: no nf_tables\n/);
  expect(text).toMatch(/curl and dig +missing +no dig\n/);
  expect(text).toContain(
    "\nWithout nf_tables: no service rules in the kernel: only the userspace backend.\n  nf_tables: apt-get install nftables",
  );
  expect(text).toMatch(/runs in plain mode here/);
  expect(JSON.parse(printCheck("json", report))).toEqual(report);
  expect(printCheck("json", report).split("\n")).toHaveLength(2);
  expect(printCheck("name", report)).toBe("nf_tables\ncurl and dig\n");
});
