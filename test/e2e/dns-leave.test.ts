import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensurePki, printKubeconfig } from "../../src/apiserver/pki.ts";
import { eventually } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";
import { openRoleLab, type RoleLab, type RoleProcess } from "../support/role-lab.ts";

const lack = lacking("ip", "nft", "kubectl", "curl");
const ip = "10.117.0.9";
// each more would wait for all before it, and nobody waits for longer than 10 s
const nodes = ["a", "b"] as const;
const readyPort = (i: number): number => 8281 + i;

/** Asks all ready endpoints again and again, until nobody is there; a line for each time, with what each said. */
const watchReady = `
const ports = process.argv.slice(1).map(Number);
const code = (port) => fetch("http://127.0.0.1:" + port + "/ready").then((r) => String(r.status), () => "gone");
(async () => {
  for (let codes = []; codes.length === 0 || codes.some((c) => c !== "gone"); await new Promise((r) => setTimeout(r, 30))) {
    codes = await Promise.all(ports.map(code));
    console.log(codes.join(" "));
  }
})();`;

describe.skipIf(lack !== undefined)(`nodes that end together${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let lab: RoleLab;
  const daemons: RoleProcess[] = [];

  beforeAll(async () => {
    lab = await openRoleLab("fw-e2e-leave", ip);
    const pki = await ensurePki(join(lab.folder, "api"), { dnsNames: [], ips: [ip, "10.117.128.1"] });
    lab.start(
      ...["apiserver", "--data-dir", join(lab.folder, "api"), "--bind-address", ip, "--secure-port", "6443"],
      ...["--service-cluster-ip-range", "10.117.128.0/17"],
    );
    const admin = await pki.issueClientCert("admin", ["system:masters"]);
    const server = `https://${ip}:6443`;
    const kubeconfig = lab.file("admin", printKubeconfig({ server, caPem: pki.caPem, contextName: "lab", ...admin }));
    const isReady = async (): Promise<true | undefined> =>
      (await lab.run("kubectl", "--kubeconfig", kubeconfig, "get", "--raw", "/readyz")).stdout === "ok" ? true : undefined;
    await eventually(isReady, { what: "the API server" });
    for (const [i, node] of nodes.entries()) {
      const corefile = lab.file(
        `Corefile-${node}`,
        `.:53 {\n health 127.0.0.1:${8181 + i} {\n  lameduck 1s\n }\n ready 127.0.0.1:${readyPort(i)}\n kubernetes cluster.local\n}\n`,
      );
      daemons.push(
        lab.start(
          ...["dns", "--kubeconfig", kubeconfig, "--node-name", node, "--run-dir", join(lab.folder, node), "--corefile", corefile],
          ...["--bind", "127.0.0.1", "--port", String(5301 + i), "--metrics-port", String(7461 + i)],
          ...["--service-cidr", "10.117.128.0/17", "--ready-file", join(lab.folder, `ready-${node}`)],
        ),
      );
    }
  });
  afterAll(() => lab?.close());

  test("their DNS leaves one after the other: no two are lame at a time", async () => {
    const ready = async (): Promise<true | undefined> => {
      const codes = await Promise.all(nodes.map((_, i) => lab.run("curl", "-s", `http://127.0.0.1:${readyPort(i)}/ready`)));
      return codes.every((c) => c.stdout.startsWith("OK")) ? true : undefined;
    };
    await eventually(ready, { what: `readiness: ${daemons.map((d) => d.output()).join("\n")}` });
    const watching = lab.run(process.execPath, "-e", watchReady, ...nodes.map((_, i) => String(readyPort(i))));
    const ends = await Promise.all(daemons.map((d) => d.end()));
    const { stdout } = await watching;
    const seen = stdout.trim().split("\n");
    expect(ends).toEqual([0, 0]);
    expect(seen.filter((line) => (line.match(/503/g)?.length ?? 0) > 1)).toEqual([]);
    // each was lame for a while before it was gone
    expect(nodes.map((_, i) => seen.some((line) => line.split(" ")[i] === "503"))).toEqual([true, true]);
  });
});
