import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NodeLab } from "../support/node-lab.ts";

const sh = (...argv: string[]): string => execFileSync(argv[0] ?? "", argv.slice(1), { encoding: "utf8" });
const lab = new NodeLab("h4pods", 221);
beforeAll(async () => {
  await lab.start();
});
afterAll(() => lab.close());

test("a pod runs, answers, and is deleted without a trace", async () => {
  await lab.createPod("one", { containers: [{ name: "echo", image: "fairway/echo" }] });
  const pod = await lab.until("one", (p) => p?.status?.conditions?.find((c) => c.type === "Ready")?.status === "True");
  expect(pod?.status).toMatchObject({ phase: "Running", podIP: "10.222.0.2", hostIP: "10.221.0.11" });
  const body = sh(
    "curl",
    "-sS",
    "--retry",
    "20",
    "--retry-connrefused",
    "--retry-delay",
    "0",
    "--max-time",
    "3",
    "http://10.222.0.2:8080/hello",
  );
  expect(JSON.parse(body)).toMatchObject({ pod: "one", namespace: "default", node: "node-1", path: "/hello" });
  await lab.client.delete({ group: "", version: "v1", plural: "pods", namespaced: true }, { namespace: "default", name: "one" });
  await lab.until("one", (p) => p === undefined);
  await expect.poll(() => readdirSync(`${lab.dataDir}/nodes/node-1/pods`)).toEqual([]);
  expect(await lab.events()).toEqual([
    'Pulled: Container image "fairway/echo" already present on machine',
    "Created: Created container: echo",
    "Started: Started container echo",
    "Killing: Stopping container echo",
  ]);
  expect(sh("ip", "netns")).not.toContain("fwp-");
});
