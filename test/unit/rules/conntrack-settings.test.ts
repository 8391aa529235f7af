import { describe, expect, test } from "vitest";
import type { ConntrackOptions } from "../../../rules/config/settings.ts";
import { conntrackBuckets, conntrackSysctls, setConntrack, tcpIsLiberal } from "../../../rules/sync/conntrack-settings.ts";

const max = "net.netfilter.nf_conntrack_max";
const established = "net.netfilter.nf_conntrack_tcp_timeout_established";

test.each<[name: string, options: ConntrackOptions, processors: number, want: Readonly<Record<string, string>>]>([
  ["nothing said", {}, 4, {}],
  ["as it is", { maxPerCore: 0, min: 131072 }, 4, {}],
  ["per processor", { maxPerCore: 32768, min: 1000 }, 8, { [max]: "262144" }],
  ["at least", { maxPerCore: 32768, min: 131072 }, 2, { [max]: "131072" }],
  ["at least, without a floor", { maxPerCore: 32768 }, 2, { [max]: "65536" }],
  [
    "of TCP",
    { tcpEstablishedTimeoutSeconds: 86400, tcpCloseWaitTimeoutSeconds: 3600 },
    1,
    {
      [established]: "86400",
      "net.netfilter.nf_conntrack_tcp_timeout_close_wait": "3600",
    },
  ],
  [
    "of UDP",
    { udpTimeoutSeconds: 30, udpStreamTimeoutSeconds: 120 },
    1,
    {
      "net.netfilter.nf_conntrack_udp_timeout": "30",
      "net.netfilter.nf_conntrack_udp_timeout_stream": "120",
    },
  ],
  ["liberal", { tcpBeLiberal: true }, 1, { "net.netfilter.nf_conntrack_tcp_be_liberal": "1" }],
  ["not liberal: as it is", { tcpBeLiberal: false }, 1, {}],
])("settings of connection tracking: %s", (_, options, processors, want) => {
  expect(conntrackSysctls(options, processors)).toEqual(want);
});

describe("what is there", () => {
  const run = (found: Readonly<Record<string, string>>, options: ConntrackOptions, refuse: readonly string[] = []) => {
    const settings = new Map(Object.entries(found));
    const written: string[] = [];
    const log: string[] = [];
    setConntrack(
      options,
      1,
      { log: (level, message) => log.push(`${level}: ${message}`) },
      {
        read: (name) => settings.get(name),
        write(name, value) {
          if (refuse.includes(name)) throw new Error("EROFS: read-only file system");
          settings.set(name, value);
          written.push(`${name}=${value}`);
        },
      },
    );
    return { written, log };
  };

  test("is left alone where it is as asked", () => {
    expect(
      run({ [max]: "131072", [conntrackBuckets]: "65536", [established]: "60" }, { maxPerCore: 131072, tcpEstablishedTimeoutSeconds: 60 }),
    ).toEqual({
      written: [],
      log: [],
    });
  });

  test("is changed, and the lists with the table where they would get long", () => {
    const { written, log } = run({ [max]: "65536", [conntrackBuckets]: "16384" }, { maxPerCore: 131072 });
    expect(written).toEqual([`${max}=131072`, `${conntrackBuckets}=32768`]);
    expect(log[0]).toBe(`info: connection tracking: ${max} is 131072 (was 65536)`);
    expect(run({ [max]: "65536", [conntrackBuckets]: "65536" }, { maxPerCore: 131072 }).written).toEqual([`${max}=131072`]);
  });

  test("stays where nobody may write it, which is told once, and the rest is done", () => {
    const { written, log } = run(
      { [max]: "65536", [established]: "432000" },
      { maxPerCore: 131072, tcpEstablishedTimeoutSeconds: 86400, udpTimeoutSeconds: 9 },
      [max],
    );
    expect(written).toEqual([`${established}=86400`]);
    expect(log.filter((l) => l.startsWith("warn"))).toEqual([
      `warn: connection tracking is not as configured: ${max} stays 65536, not 131072 (EROFS: read-only file system); net.netfilter.nf_conntrack_udp_timeout is not 9 (this kernel has no such setting)`,
    ]);
  });

  test.each([
    ["1", true],
    ["0", false],
    [undefined, false],
  ] as const)("tcp_be_liberal %s", (value, want) => {
    expect(tcpIsLiberal({ read: () => value, write: () => undefined })).toBe(want);
  });
});
