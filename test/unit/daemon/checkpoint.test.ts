import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { readCheckpoint, writeCheckpoint } from "../../../src/daemon/checkpoint.ts";
import { readClusterDns, saveClusterDns } from "../../../src/daemon/cluster-dns.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-checkpoint-"));
const file = join(folder, "snapshot.json.gz");
afterAll(() => rmSync(folder, { recursive: true }));

function storeOf(services: readonly string[], namespaces: readonly string[]): SnapshotStore {
  const store = new SnapshotStore();
  store.replace(
    "Service",
    services.map((name) => ({ metadata: { namespace: "default", name } })),
  );
  store.replace(
    "Namespace",
    namespaces.map((name) => ({ metadata: { name } })),
  );
  return store;
}
const keysOf = (store: SnapshotStore): readonly string[] => [
  ...store.current.tables.Service.keys(),
  ...store.current.tables.Namespace.keys(),
];

test("a new store gets what was written, in a file for its user only", async () => {
  await writeCheckpoint(file, storeOf(["a"], ["n"]), ["Service", "Namespace"]);
  const store = new SnapshotStore();
  expect(readCheckpoint(file, store, ["Service", "Namespace"])).toBe(true);
  expect(keysOf(store)).toEqual(["default/a", "n"]);
  expect(store.synced(["Service", "Namespace"])).toBe(true);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(["snapshot.json.gz"]);
});

test("what changes while it is written is not in it, and need not wait for it", async () => {
  const before = storeOf(
    Array.from({ length: 20_000 }, (_, i) => `s-${i}`),
    ["n"],
  );
  let written = false;
  const writing = writeCheckpoint(file, before, ["Service", "Namespace"]).then(() => {
    written = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(written).toBe(false);
  before.apply("Namespace", "n", undefined, "9");
  await writing;
  const store = new SnapshotStore();
  expect(readCheckpoint(file, store, ["Service", "Namespace"])).toBe(true);
  expect(keysOf(store).length).toBe(20_001);
});

test("what the API has told already stays", async () => {
  await writeCheckpoint(file, storeOf(["old"], ["n"]), ["Service", "Namespace"]);
  const store = new SnapshotStore();
  store.replace("Service", [{ metadata: { namespace: "default", name: "new" } }]);
  expect(readCheckpoint(file, store, ["Service", "Namespace"])).toBe(true);
  expect(keysOf(store)).toEqual(["default/new", "n"]);
});

test.each([
  ["none", undefined],
  ["cut short", gzipSync("{}").subarray(0, 12)],
  ["no object", gzipSync("null")],
  ["a kind is missing", gzipSync('{"Namespace":[]}')],
  ["a kind is no list", gzipSync('{"Service":{},"Namespace":[]}')],
] as const)("a checkpoint that is of no use changes nothing: %s", (_, bytes) => {
  rmSync(file, { force: true });
  if (bytes !== undefined) writeFileSync(file, bytes);
  const store = new SnapshotStore();
  expect(readCheckpoint(file, store, ["Service", "Namespace"])).toBe(false);
  expect(store.synced(["Namespace"])).toBe(false);
});

test("the addresses of cluster DNS are kept", () => {
  const dns = join(folder, "cluster-dns.json");
  expect(readClusterDns(dns)).toEqual([]);
  saveClusterDns(dns, ["10.96.0.10", "fd43::a"], silentLog);
  expect(readClusterDns(dns)).toEqual(["10.96.0.10", "fd43::a"]);
  for (const text of ["[", "{}", '["10.96.0.10","nonsense"]']) {
    writeFileSync(dns, text);
    expect(readClusterDns(dns)).toEqual([]);
  }
});
