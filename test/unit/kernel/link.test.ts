import { expect, test } from "vitest";
import { type CommandOptions, type RunCommand, runCommand, runOrThrow } from "../../../src/kernel/command.ts";
import { isKernelError } from "../../../src/kernel/errors.ts";
import { type LinkStep, printLinkStep, readRoutes, runLinkSteps } from "../../../src/kernel/link.ts";
import { inNetns } from "../../../src/kernel/netns.ts";
import { printSysctlScript, sysctlPath } from "../../../src/kernel/sysctl.ts";

test.each<[LinkStep, string]>([
  [{ kind: "netns-add", name: "n" }, "netns add n"],
  [{ kind: "bridge-add", name: "b" }, "link add name b type bridge"],
  [{ kind: "link-delete", name: "b" }, "link delete dev b"],
  [{ kind: "address-add", link: "l", address: "fd00::1/64" }, "address replace fd00::1/64 dev l nodad"],
  [{ kind: "address-add", link: "lo", address: "10.0.0.1/32", scope: "host" }, "address replace 10.0.0.1/32 dev lo scope host"],
  [
    { kind: "route-add", to: "10.0.0.0/8", via: "1.2.3.4", link: "l", source: "5.6.7.8" },
    "route replace 10.0.0.0/8 via 1.2.3.4 dev l src 5.6.7.8",
  ],
  [{ kind: "route-delete", to: "10.0.0.0/8" }, "route delete 10.0.0.0/8"],
])("%j", (step, line) => {
  expect(printLinkStep(step)).toBe(line);
});

/** Answers every command alike and remembers what it was asked. */
function scripted(answer: { readonly code?: number; readonly stdout?: string; readonly stderr?: string }) {
  const asked: { argv: readonly string[]; input: string | undefined }[] = [];
  const run: RunCommand = async (argv, options: CommandOptions = {}) => {
    asked.push({ argv, input: options.input });
    return { code: 0, stdout: "", stderr: "", ...answer };
  };
  return { run, asked };
}

test("steps run in one process, in a namespace, and a failure says what was said", async () => {
  const good = scripted({});
  await runLinkSteps(
    good.run,
    [
      { kind: "link-up", name: "a" },
      { kind: "link-up", name: "b" },
    ],
    { netns: "n" },
  );
  expect(good.asked).toEqual([{ argv: ["ip", "-netns", "n", "-batch", "-"], input: "link set dev a up\nlink set dev b up\n" }]);
  const bad = scripted({ code: 2, stderr: "Cannot find device\n" });
  await expect(runLinkSteps(bad.run, [{ kind: "link-up", name: "a" }])).rejects.toThrow("ip -batch - ended with 2: Cannot find device");
  await runLinkSteps(bad.run, [{ kind: "link-delete", name: "a" }], { force: true });
  await runLinkSteps(bad.run, []);
  expect(bad.asked).toHaveLength(2);
});

test("routes are read without the default and without broadcast", async () => {
  const { run } = scripted({
    stdout: JSON.stringify([
      { dst: "default", dev: "eth0" },
      { dst: "10.0.0.0/8", dev: "eth0" },
      { type: "broadcast", dst: "10.255.255.255", dev: "eth0" },
      { type: "local", dst: "10.0.0.1", dev: "eth0" },
    ]),
  });
  expect(await readRoutes(run)).toEqual(
    Array.from({ length: 2 }, () => [
      { to: "10.0.0.0/8", link: "eth0" },
      { to: "10.0.0.1", link: "eth0" },
    ]).flat(),
  );
});

test("commands: status, output, input, what is missing, and an end by signal", async () => {
  expect(await runCommand(["sh", "-c", "cat; echo no >&2; exit 3"], { input: "in" })).toEqual({ code: 3, stdout: "in", stderr: "no\n" });
  const missing = await runCommand(["/no/such/program"]).catch((e: unknown) => e);
  expect(isKernelError(missing, "command-missing")).toBe(true);
  const failed = await runOrThrow(runCommand, ["false"]).catch((e: unknown) => e);
  expect(isKernelError(failed, "command-failed")).toBe(true);
  expect((await runCommand(["sh", "-c", "kill -TERM $$"])).code).toBe(143);
  await expect(runCommand(["sleep", "10"], {}, AbortSignal.timeout(20))).rejects.toThrow();
  await expect(runCommand(["true"], {}, AbortSignal.abort(new Error("early")))).rejects.toThrow("early");
});

test("settings are files, and what the kernel lacks is passed over", () => {
  expect(sysctlPath("net.ipv4.ip_forward")).toBe("/proc/sys/net/ipv4/ip_forward");
  expect(sysctlPath("net/ipv4/conf/eth0.1/rp_filter")).toBe("/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
  expect(printSysctlScript({ "a.b": "1" })).toBe("[ ! -w '/proc/sys/a/b' ] || echo '1' > '/proc/sys/a/b'");
  expect(inNetns("/run/netns/x", ["ip", "a"])).toEqual(["nsenter", "--net=/run/netns/x", "--", "ip", "a"]);
});
