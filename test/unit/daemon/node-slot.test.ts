import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { nodeSlots, slotByName } from "../../../src/daemon/cluster-config.ts";
import { isRouted, type NodeSlot, slotsInOrder, takeNodeSlot } from "../../../src/daemon/node-slot.ts";

const held: NodeSlot[] = [];
const folders: string[] = [];
afterEach(() => {
  for (const slot of held.splice(0)) slot.release();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), "fairway-slot-"));
  folders.push(made);
  return made;
};
const take = async (name: string, dataDir: string): Promise<NodeSlot> => {
  const slot = await takeNodeSlot({ name, dataDir, mode: "plain", serviceCidrs: [], clusterCidrs: [] });
  held.push(slot);
  return slot;
};

/** Names whose hashes are the same number. */
function twins(): readonly [string, string] {
  const seen = new Map<number, string>();
  for (let i = 0; ; i++) {
    const name = `slot-${process.pid}-${i}`;
    const other = seen.get(slotByName(name));
    if (other !== undefined) return [other, name];
    seen.set(slotByName(name), name);
  }
}

test("two clusters whose names hash to one number have different ones, and have the same again next time", async () => {
  const [one, two] = twins();
  const [dirOne, dirTwo] = [folder(), folder()];
  const first = await take(one, dirOne);
  const second = await take(two, dirTwo);
  expect(second.number).not.toBe(first.number);
  first.keep();
  second.keep();
  for (const slot of held.splice(0)) slot.release();
  // the other way round
  expect((await take(two, dirTwo)).number).toBe(second.number);
  expect((await take(one, dirOne)).number).toBe(first.number);
});

test("every number comes up once, the kept one first", () => {
  const order = slotsInOrder("any", 254);
  expect(order.slice(0, 3)).toEqual([254, 255, 0]);
  expect(new Set(order).size).toBe(nodeSlots);
  expect(slotsInOrder("any", undefined)[0]).toBe(slotByName("any"));
});

test.each<[string, string, boolean, "plain"?]>([
  ["172.28.7.0/24", "eth0", true],
  ["172.16.0.0/12", "docker0", true],
  ["172.28.7.9", "eth0", true],
  ["fd00:fa:7::/64", "eth0", true],
  ["172.28.8.0/24", "eth0", false],
  ["172.28.7.0/24", "fw-mine", false],
  ["0.0.0.0/0", "eth0", false],
  ["127.0.0.0/8", "lo", false],
  ["127.127.0.0/16", "", true, "plain"],
])("a number is not free where this machine routes its range: %s on %s", (to, link, taken, mode) => {
  expect(isRouted(7, { name: "mine", mode: mode ?? "full" }, [{ to, link }])).toBe(taken);
});
