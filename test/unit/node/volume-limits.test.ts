import { expect, test } from "vitest";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import { parseMountPoints } from "../../../src/kernel/memory-mount.ts";
import { limitedVolumes, memoryVolumeBytes, overLimitMessage } from "../../../src/node/volume-limits.ts";
import { startVolumeWatch } from "../../../src/node/volume-watch.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const mebi = 2 ** 20;

test.each<{ name: string; memory: readonly (string | undefined)[]; sizeLimit?: string; want: number }>([
  { name: "its own limit", memory: [undefined], sizeLimit: "16Mi", want: 16 * mebi },
  { name: "no limit: what the node has", memory: [undefined], want: 1024 * mebi },
  { name: "one container without a limit: the pod has none", memory: ["8Mi", undefined], want: 1024 * mebi },
  { name: "the containers' limits together", memory: ["8Mi", "4Mi"], want: 12 * mebi },
  { name: "the smaller of both", memory: ["8Mi", "4Mi"], sizeLimit: "16Mi", want: 12 * mebi },
  { name: "a limit of nothing is none", memory: ["8Mi"], sizeLimit: "0", want: 8 * mebi },
])("how large a volume in memory is: $name", ({ memory, sizeLimit, want }) => {
  const containers = memory.map((text, i) => ({
    name: `c${i}`,
    ...(text === undefined ? {} : { resources: { limits: { memory: text } } }),
  }));
  const volume = { name: "v", emptyDir: { medium: "Memory", ...(sizeLimit === undefined ? {} : { sizeLimit }) } };
  expect(memoryVolumeBytes({ spec: { containers } }, volume, { memory: "1Gi" })).toBe(want);
});

test("volumes that may outgrow their limit are those on the disk that have one", () => {
  const volumes = [
    { name: "a", emptyDir: { sizeLimit: "1024Ki" } },
    { name: "b", emptyDir: {} },
    { name: "c", emptyDir: { sizeLimit: "1Mi", medium: "Memory" } },
    { name: "d", emptyDir: { sizeLimit: "0" } },
    { name: "e", hostPath: { path: "/" } },
  ];
  const limited = limitedVolumes({ spec: { containers: [], volumes } });
  expect(limited).toEqual([{ name: "a", bytes: mebi, limit: "1Mi" }]);
  expect(limited.map(overLimitMessage)).toEqual(['Usage of EmptyDir volume "a" exceeds the limit "1Mi". ']);
});

test.each<{ name: string; used: string; phase: string; evicted: readonly string[] }>([
  {
    name: "outgrown",
    used: "1048577\t/pods/u/volumes/v\n",
    phase: "Running",
    evicted: ['Usage of EmptyDir volume "v" exceeds the limit "1Mi". '],
  },
  { name: "full to the last byte", used: "1048576\t/pods/u/volumes/v\n", phase: "Running", evicted: [] },
  { name: "not laid yet", used: "", phase: "Pending", evicted: [] },
  { name: "over anyway", used: "9999999\t/pods/u/volumes/v\n", phase: "Failed", evicted: [] },
])("a volume is looked at every ten seconds: $name", async ({ used, phase, evicted }) => {
  const clock = new FakeClock();
  const asked: string[] = [];
  const told: string[] = [];
  const pod: Pod = { status: { phase }, spec: { containers: [], volumes: [{ name: "v", emptyDir: { sizeLimit: "1Mi" } }] } };
  const watch = startVolumeWatch({
    clock,
    run: async (argv) => {
      asked.push(argv.at(-1) ?? "");
      return { code: used === "" ? 1 : 0, stdout: used, stderr: "" };
    },
    pods: () => [{ uid: "u", pod, evict: (message) => told.push(message) }],
    volumesFolder: (uid) => `/pods/${uid}/volumes`,
  });
  await clock.advance(9999);
  expect(asked).toEqual([]);
  await clock.advance(1);
  expect(asked).toEqual(phase === "Failed" ? [] : ["/pods/u/volumes/v"]);
  expect(told).toEqual(evicted);
  await watch.close();
});

test("mount points as the kernel prints them", () => {
  const line = (point: string): string => `36 35 98:0 / ${point} rw,noatime shared:1 - tmpfs tmpfs rw,size=1024k\n`;
  expect(parseMountPoints(line("/a/b") + line("/with\\040space\\134"))).toEqual(["/a/b", "/with space\\"]);
});
