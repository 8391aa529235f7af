import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl");
const name = "e2e-canary";
const args = [
  ...["--nodes", "2", "--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"],
  ...["--service-cidr", "10.208.0.0/16", "--cluster-cidr", "10.218.0.0/16"],
];
const example = join(import.meta.dirname, "..", "..", "examples", "canary");

interface Status {
  readonly phase: string;
  readonly weight: number;
  readonly message: string;
}

describe.skipIf(lack !== undefined)(`a canary that grows by itself${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let port: number;
  let asking: Promise<void>;
  let closed = false;
  /** Answers of the ingress to its visitors, by status. */
  const answers = new Map<number, number>();

  beforeAll(async () => {
    cluster = await startTestCluster({ name, args: [...args, "--apply", example] });
    const { ingress } = (await cluster.status()) as { ingress: { addresses: readonly { http: number }[] } };
    port = ingress.addresses[0]?.http ?? 0;
    await cluster.kubectl("-n", "canary", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=60s");
    // the Pods are ready before the ingress has heard of it
    await eventually(async () => (await ask()) === 200, { what: "an answer" });
    asking = visit();
  });
  afterAll(async () => {
    closed = true;
    await asking;
    await cluster.stop();
    removeDataDir(cluster);
  });

  /** A visitor who comes back at once, for as long as the test goes on. */
  async function visit(): Promise<void> {
    while (!closed) {
      const status = await ask().catch(() => 0);
      answers.set(status, (answers.get(status) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  function ask(): Promise<number> {
    return new Promise((resolve, reject) => {
      const r = request({ host: "127.0.0.1", port, headers: { host: "canary.test" }, timeout: 10_000 }, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
        response.on("error", reject);
      });
      r.on("timeout", () => r.destroy(new Error("no answer")));
      r.on("error", reject);
      r.end();
    });
  }

  async function status(): Promise<Status | undefined> {
    const path = "jsonpath={.metadata.annotations.fairway\\.dev/canary-status}";
    const { stdout } = await cluster.kubectl("-n", "canary", "get", "ingress", "web-canary", "-o", path);
    return stdout === "" ? undefined : (JSON.parse(stdout) as Status);
  }
  const reaches = (phase: string): Promise<Status> =>
    eventually(async () => await status().then((s) => (s?.phase === phase ? s : undefined)), { what: phase });
  const backends = async (): Promise<readonly string[]> => {
    const { stdout } = await cluster.fairway("route", "http://canary.test/", "-o", "json");
    const answer = JSON.parse(stdout) as { backends: readonly { service: string; weight: number }[] };
    return answer.backends.map((b) => `${b.service} ${b.weight}`);
  };

  test("a version that answers well gets all requests in the end", async () => {
    expect(await reaches("Promoted")).toMatchObject({ weight: 100, message: expect.stringContaining("100 % of") });
    expect(await backends()).toEqual(["canary/web-next 100"]);
    expect([...answers.keys()].filter((s) => s >= 500)).toEqual([]);
  });

  test("one that fails is taken back at its first step, and the Ingress says why", async () => {
    const change = [{ op: "replace", path: "/spec/rules/0/http/paths/0/backend/service/name", value: "web-broken" }];
    await cluster.kubectl("-n", "canary", "patch", "ingress", "web-canary", "--type", "json", "-p", JSON.stringify(change));
    const { message } = await reaches("RolledBack");
    expect(message).toMatch(/^at 10 %, (\d+) of \d+ requests failed/);
    expect(await backends()).toEqual(["canary/web 100"]);
    await eventually(async () => {
      const { stdout } = await cluster.kubectl("-n", "canary", "describe", "ingress", "web-canary");
      return /CanaryRolledBack/.test(stdout) && /CanaryPromoted/.test(stdout);
    });
    const failed = answers.get(500) ?? 0;
    expect(failed).toBeGreaterThanOrEqual(10);
    await eventually(async () => {
      const before = answers.get(500) ?? 0;
      await Promise.all(Array.from({ length: 30 }, ask));
      return (answers.get(500) ?? 0) === before;
    });
  });
});
