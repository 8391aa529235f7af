import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadCorefile } from "../../../dns/index.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { corefileOf, startCorefileConfigMap } from "../../../src/daemon/corefile-configmap.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { MemoryApi } from "../../support/memory-api.ts";

const at = { namespace: "kube-system", name: "coredns" };
const good = (ttl: number): string => `.:53 {\n import extra.*\n kubernetes cluster.local {\n  ttl ${ttl}\n }\n}\n`;
let runDir = "";
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), "corefile-configmap-"));
});
afterEach(() => rmSync(runDir, { recursive: true }));

const config = { clusterDomain: "cluster.local", clusterCidrs: ["10.244.0.0/16"], serviceCidrs: ["10.96.0.0/16"] };
const fileOf = (): string => corefileOf({ ...config, runDir, corefileConfigMap: at }) ?? "";
const plugins = (file: string): string =>
  loadCorefile(file)
    .blocks.blocks.flatMap((b) => b.plugins.map((p) => p.plugin))
    .join(" ");

test("a node that never saw the ConfigMap has what DNS does without a Corefile, and one that did keeps it", () => {
  const file = fileOf();
  expect(plugins(file)).toBe("errors loadbalance cache kubernetes forward");
  expect(loadCorefile(file).blocks.zones.kubernetes?.zones).toEqual(["cluster.local.", "96.10.in-addr.arpa.", "244.10.in-addr.arpa."]);
  const text = readFileSync(file, "utf8");
  expect(corefileOf({ ...config, clusterDomain: "other.test", runDir, corefileConfigMap: at })).toBe(file);
  expect(readFileSync(file, "utf8")).toBe(text);
  expect(readdirSync(join(runDir, "coredns"))).toEqual(["Corefile"]);
});

test("without a ConfigMap the file that was given is read, if any", () => {
  expect(corefileOf({ ...config, runDir, corefile: "/etc/Corefile" })).toBe("/etc/Corefile");
  expect(corefileOf({ ...config, runDir })).toBeUndefined();
});

test("the files follow the ConfigMap; one that cannot be used is a problem that names the line, until it is mended", async () => {
  const api = new MemoryApi();
  const client = createClient(api);
  const file = fileOf();
  await client.create(resources.configMaps, {
    metadata: at,
    data: { Corefile: good(7), "extra.hosts": " hosts NodeHosts\n", NodeHosts: "" },
  });
  await client.create(resources.configMaps, { metadata: { ...at, name: "other" }, data: { Corefile: "nonsense" } });
  const followed = startCorefileConfigMap({ transport: api, at, file }, { clock: systemClock, log: silentLog });
  const change = async (data: Record<string, string>): Promise<void> => {
    const { metadata } = await client.get(resources.configMaps, at);
    await client.update(resources.configMaps, { metadata: metadata ?? at, data });
  };
  try {
    await followed.ready;
    await expect.poll(() => plugins(file)).toBe("hosts kubernetes");
    expect(readdirSync(join(runDir, "coredns")).sort()).toEqual(["Corefile", "NodeHosts", "extra.hosts"]);
    expect(followed.problems()).toEqual([]);

    await change({ Corefile: ".:53 {\n cash 30\n}\n" });
    await expect
      .poll(() => followed.problems().map((p) => [p.object, p.field, p.reason, p.message.split(";")[0]]))
      .toEqual([[{ kind: "ConfigMap", ...at }, "data.Corefile", "BadCorefile", expect.stringMatching(/^Corefile:2: .*no plugin cash/)]]);
    expect(followed.metrics()).toContain('coredns_reload_failed_total{from="configmap"} 1');
    expect(plugins(file)).toBe("hosts kubernetes");
    expect(existsSync(join(runDir, "coredns.new"))).toBe(false);

    await change({ Corefile: good(9) });
    await expect.poll(() => plugins(file)).toBe("kubernetes");
    await expect.poll(() => followed.problems()).toEqual([]);
    expect(readdirSync(join(runDir, "coredns"))).toEqual(["Corefile"]);

    await client.delete(resources.configMaps, at);
    await change({}).catch(() => undefined);
    expect(plugins(file)).toBe("kubernetes");
  } finally {
    await followed.close();
  }
});
