import { expect, test } from "vitest";
import { type DnsBlocks, readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { isServedAlike, startCorefileWatch, withUpstreams } from "../../../src/daemon/corefile.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const blocksOf = (text: string): DnsBlocks => readCorefile(text, "Corefile", { folder: "/" });
const base = ".:53 {\n kubernetes cluster.local\n reload 10s 0s\n";

/** A watch of a file whose text a test changes; what is applied, refused and written down. */
function watched(): {
  set: (text: string) => Promise<void>;
  applied: string[];
  errors: string[];
  close: () => Promise<void>;
  failures: () => number;
} {
  const clock = new FakeClock();
  let text = `${base}}`;
  const applied: string[] = [];
  const errors: string[] = [];
  const load = (): { blocks: DnsBlocks; digest: string } => ({ blocks: blocksOf(text), digest: text });
  const log = Object.assign(
    (level: string, _: string, fields?: Readonly<Record<string, unknown>>) => {
      if (level === "error") errors.push(String(fields?.["error"]));
    },
    { child: () => silentLog },
  );
  const watch = startCorefileWatch(
    "Corefile",
    load(),
    async ({ blocks }) => {
      const names = blocks.blocks[0]?.plugins.map((p) => p.plugin).join(" ") ?? "";
      if (names.includes("whoami")) throw new Error("not this one");
      applied.push(names);
    },
    { log, clock, random: () => 0, load },
  );
  return {
    set: async (next) => {
      text = next;
      await clock.advance(10_000);
    },
    applied,
    errors,
    failures: watch.failures,
    close: () => watch.close(),
  };
}

test("a changed Corefile is applied once; a bad one leaves what there was, and is told once", async () => {
  const { set, applied, errors, failures, close } = watched();
  await set(`${base} errors\n}`);
  await set(`${base} errors\n}`);
  expect(applied).toEqual(["reload errors kubernetes"]);
  await set(`${base} cash\n}`);
  await set(`${base} cash\n}`);
  await set(`${base} whoami\n}`);
  await set(`${base} whoami\n}`);
  expect([applied.length, failures(), errors.length]).toEqual([1, 2, 2]);
  expect(errors[0]).toMatch(/^Corefile:4: no plugin cash; there are acl/);
  await set(`${base} any\n}`);
  expect(applied).toEqual(["reload errors kubernetes", "reload any kubernetes"]);
  // without `reload` it is never looked at again
  await set(".:53 {\n kubernetes cluster.local\n}");
  await set(`${base}}`);
  expect(applied.length).toBe(3);
  await close();
});

test.each([
  ["the same", `${base}}`, `${base}}`, true],
  ["another upstream", `${base} forward . 10.0.0.1\n}`, `${base} forward . 10.0.0.2\n}`, true],
  ["another TTL of the names", `${base}}`, `${base.replace("cluster.local", "cluster.local {\n ttl 9\n }")}}`, false],
  ["another port", `${base}}`, `${base}}\n.:54 {\n}`, false],
  ["another address", `${base}}`, `${base} bind 10.0.0.1\n}`, false],
])("one process serves both: %s", (_, a, b, want) => {
  expect(isServedAlike(blocksOf(a), blocksOf(b))).toBe(want);
});

test("what a node was given stands for this machine's resolv.conf", () => {
  const blocks = blocksOf(".:53 {\n forward . /etc/resolv.conf 10.0.0.1\n}");
  const targets = (b: DnsBlocks): unknown => b.blocks[0]?.plugins.map((p) => (p.plugin === "forward" ? p.to : p.plugin));
  expect(targets(withUpstreams(blocks, [{ ip: "172.28.0.1", port: 5353 }]))).toEqual([
    [
      { kind: "server", scheme: "dns", ip: "172.28.0.1", port: 5353 },
      { kind: "server", scheme: "dns", ip: "10.0.0.1", port: 53 },
    ],
  ]);
  expect(withUpstreams(blocks, { resolvConf: "/etc/resolv.conf" })).toBe(blocks);
});
