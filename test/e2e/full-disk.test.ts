import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CommandResult, eventually } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";
import { openRoleLab, type RoleLab, type RoleProcess } from "../support/role-lab.ts";

const lack = lacking("ip", "mount", "kubectl", "nsenter");
const mebibyte = 1 << 20;

describe.skipIf(lack !== undefined)(`an API server whose disk is full${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  const disk = mkdtempSync(join(tmpdir(), "fairway-e2e-disk-"));
  const filler = join(disk, "filler");
  let lab: RoleLab;
  let api: RoleProcess;

  const kubectl = (...args: readonly string[]): Promise<CommandResult> =>
    lab.run("kubectl", "--kubeconfig", join(disk, "data", "kubeconfig"), ...args);
  const start = async (): Promise<void> => {
    api = lab.start("apiserver", "--data-dir", join(disk, "data"), "--bind-address", lab.ip, "--secure-port", "7480");
    await eventually(async () => (await kubectl("get", "--raw", "/readyz")).stdout === "ok" || undefined, {
      what: `the API server answers: ${api.output()}`,
    });
  };
  const says = (line: string): Promise<true> =>
    eventually(() => api.output().includes(line) || undefined, { what: `the log says: ${line}` });
  const stored = async (): Promise<readonly string[]> =>
    (await kubectl("get", "configmaps", "-o", "name")).stdout
      .split("\n")
      .filter((l) => l !== "")
      .map((l) => l.replace("configmap/", ""));

  beforeAll(async () => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=700", "fairway-e2e-disk", disk]);
    lab = await openRoleLab("e2e-disk", "172.30.117.1");
    await start();
  });
  afterAll(async () => {
    await lab.close();
    execFileSync("umount", [disk]);
    rmSync(disk, { recursive: true });
  });

  test("refuses what does not fit and says why; keeps what it acknowledged, after a kill -9 too; goes on when there is room", async () => {
    const blob = lab.file("blob", "x".repeat(400_000));
    const acknowledged: string[] = [];
    let refused: CommandResult | undefined;
    const room = statfsSync(disk);
    writeFileSync(filler, Buffer.alloc(room.bavail * room.bsize - 2 * mebibyte));
    for (let i = 1; refused === undefined && i <= 20; i++) {
      const made = await kubectl("create", "configmap", `large-${i}`, `--from-file=${blob}`);
      if (made.code === 0) acknowledged.push(`large-${i}`);
      else refused = made;
    }
    expect(refused?.stderr).toContain("the disk that holds the store is full; free some space, nothing acknowledged was lost");
    expect(acknowledged.length).toBeGreaterThan(0);
    await says("objects cannot be stored; writes are refused, reads go on");
    expect(await stored()).toEqual(acknowledged);

    await api.end("SIGKILL");
    await start();
    expect(await stored()).toEqual(acknowledged);
    expect((await kubectl("create", "configmap", "larger", `--from-file=${blob}`)).stderr).toContain("is full");

    rmSync(filler);
    expect(await kubectl("create", "configmap", "after", `--from-file=${blob}`)).toMatchObject({ code: 0 });
    expect(await stored()).toEqual(["after", ...acknowledged]);
    await says("objects are stored again");
    expect(await api.end()).toBe(0);
  });
});
