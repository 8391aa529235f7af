import { describe, expect, test } from "vitest";
import { compileOffline } from "../../../rules/index.ts";
import { backends } from "../../../rules/model/backend.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { matrixConfigNames, matrixConfigs, matrixObjects, matrixRows, worldOf } from "../../contract/packet-matrix.ts";
import {
  type ConfigName,
  configNames,
  configs,
  linkOf,
  packetObjects,
  packetTable,
  podAddress,
  targetAddress,
} from "../../contract/packets.ts";
import { allowedFate, type OracleOptions, oracle, printFate } from "../../support/packet-oracle.ts";
import { labAddresses } from "../../support/rules-lab.ts";
import { fillStore } from "../../support/rules-objects.ts";

const store = new SnapshotStore();
fillStore(store, matrixObjects());

const rows = new Map(matrixConfigNames.map((config) => [config, matrixRows(config)]));

describe.each(matrixConfigNames)("%s", (config) => {
  test.each(backends)("%s: every packet fares as the objects say", (backend) => {
    const program = compileOffline(store.current, {
      ...matrixConfigs[config],
      localhostNodePorts: false,
      nodePortAddresses: "primary",
      nodeName: "a",
      backend,
    });
    const wrong: string[] = [];
    for (const { name, packet, fate } of (backend === "userspace" ? matrixRows(config, false) : rows.get(config)) ?? []) {
      const want = printFate(allowedFate(backend, packet, fate));
      const got = printFate(program.trace(packet));
      if (got !== want) wrong.push(`${name}: ${got} and not ${want}`);
    }
    expect(wrong).toEqual([]);
  });
});

test.each(configNames)("%s: the hand-written table says the same as the objects", (config: ConfigName) => {
  const objects = packetObjects();
  const options: OracleOptions = { ...configs[config], nodePortAddresses: configs[config].nodePortAddresses ?? "primary", nodeName: "a" };
  const fateOf = oracle(worldOf(objects), options);
  const weighted = new Set(
    objects.filter((o) => o.metadata?.annotations?.["fairway.dev/weights"] !== undefined).map((o) => o.metadata?.name),
  );
  let compared = 0;
  for (const c of packetTable.filter((row) => (row.config ?? "default") === config)) {
    for (const family of [4, 6] as const) {
      const { ip, port } = targetAddress(c.to, family);
      const link = linkOf(c.from);
      const packet = { from: labAddresses[c.from][family], to: ip, port, protocol: "tcp" } as const;
      const { service, ...fate } = fateOf(link === undefined ? packet : { ...packet, interface: link });
      // weights are not Kubernetes'
      if (weighted.has(service?.replace(/^test\/|:.*$/g, ""))) continue;
      compared++;
      const at = (pod: Parameters<typeof podAddress>[0]): string =>
        family === 4 ? `${podAddress(pod, 4)}:8080` : `[${podAddress(pod, 6)}]:8080`;
      const want = c.want.verdict === "deliver" ? { ...c.want, endpoints: c.want.endpoints.map(at).sort() } : c.want;
      expect({ case: c.name, ...fate }).toMatchObject({ case: c.name, ...want });
    }
  }
  expect(compared).toBeGreaterThan(0);
});

test("the matrix has every verdict, and configurations that matter", () => {
  const [first = [], ...others] = [...rows.values()].map((list) => list.map((row) => printFate(row.fate)));
  expect(new Set(first.map((text) => text.split(" ")[0]))).toEqual(new Set(["deliver", "reject", "drop"]));
  const same = others.flatMap((fates, i) => (fates.some((fate, n) => fate !== first[n]) ? [] : [matrixConfigNames[i + 1]]));
  expect(same).toEqual(["linkPrefix"]);
});
