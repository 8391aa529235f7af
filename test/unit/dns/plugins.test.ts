import { describe, expect, test } from "vitest";
import { Answerer } from "../../../dns/answer/answerer.ts";
import type { MessageCache } from "../../../dns/cache/message-cache.ts";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { createContext, type Query, questionMessage } from "../../../dns/handler/handler.ts";
import { startServerChains } from "../../../dns/handler/server-chains.ts";
import type { Message } from "../../../dns/wire/message.ts";
import { parseClass, parseType, printRcode } from "../../../dns/wire/record-type.ts";
import { printRecord } from "../../../dns/wire/zone-file.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { type Asked, block, files, groups } from "./plugin-cases.ts";
import { shop } from "./shop.ts";

/** What comes: the code, then flags, answers as zone-file lines, `; ` and the other sections. */
interface World {
  readonly ask: (asked: Asked) => Promise<readonly string[]>;
  readonly lines: readonly string[];
  readonly counts: readonly string[];
  readonly close: () => Promise<void>;
  readonly directness: () => string;
}

async function startWorld(corefile: string, files: Readonly<Record<string, string>> = {}): Promise<World> {
  const read = readCorefile(corefile, "Corefile", { folder: "/" });
  const zone = new DnsZone(read.zones);
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  const answerer = new Answerer({ ...read.zones, passing: read.passing });
  answerer.apply(zone.full());
  answerer.setSynced();
  const lines: string[] = [];
  const counts: string[] = [];
  const chains = startServerChains(read.blocks, {
    answerer,
    zones: read.zones,
    passing: read.passing,
    isAllowed: () => true,
    clock: { ...systemClock, monotonic: () => 0 },
    random: () => 0.5,
    log: Object.assign((_: string, message: string) => void lines.push(message), { child: () => silentLog }),
    hostname: "node-1",
    count: (name, labels = {}) => void counts.push([name, ...Object.values(labels)].join(" ")),
    cache: { hit: () => {}, miss: () => {}, stale: () => {}, prefetch: () => {} },
    caches: new Set<MessageCache>(),
    forward: { answered: () => {}, failed: () => {}, checkFailed: () => {}, allDown: () => {}, rejected: () => {} },
    readText: (file) => {
      const text = files[file];
      return text === undefined ? Promise.reject(new Error(`no file ${file}`)) : Promise.resolve(text);
    },
    background: () => {},
    ownAddresses: () => [],
    zoneChanged: () => {},
    podOf: (q) => (q.client === "10.244.1.9" ? { namespace: "shop", name: "web-0" } : undefined),
  });
  await chains.ready;
  const listener = chains.listener({ scheme: "dns", ip: "10.96.0.10", port: 53, isMain: true });
  const ask = async (asked: Asked): Promise<readonly string[]> => {
    const context = createContext({ signal: AbortSignal.timeout(5000) });
    const answer = await listener.handler(queryOf(asked), context);
    return context.reply.dropped ? ["dropped"] : printAnswer(answer);
  };
  return { ask, lines, counts, close: () => chains.close(), directness: listener.directness };
}

function queryOf(asked: Asked): Query {
  const words = asked.split(" ");
  const rrClass = words[0]?.startsWith("CH") === true ? parseClass(words.shift() ?? "") : 1;
  const [name = "", type = "A", ...rest] = words;
  const question = { name, type: parseType(type) ?? 0, class: rrClass ?? 1 };
  const client = rest.find((w) => w.startsWith("@"))?.slice(1) ?? "10.244.1.9";
  const message = questionMessage(question, { id: 7 });
  const transport = rest.includes("+tcp") ? "tcp" : "udp";
  const server = { ip: "10.96.0.10", port: 53 };
  const dnssecOk = rest.includes("+do");
  return {
    message: { ...message, checkingDisabled: rest.includes("+cd"), edns: { udpSize: 1232, version: 0, dnssecOk, options: [] } },
    question,
    client,
    clientPort: 4242,
    transport,
    server,
  };
}

function printAnswer(m: Message): readonly string[] {
  const flags = [m.authoritative && "aa", m.authenticData && "ad", m.recursionDesired || "no-rd"].filter((f) => typeof f === "string");
  return [
    [printRcode(m.rcode), ...flags].join(" "),
    ...m.answers.map(printRecord),
    ...m.authority.map((r) => `auth ${printRecord(r)}`),
    ...m.additional.map((r) => `more ${printRecord(r)}`),
    ...(m.edns?.options ?? []).map((o) => `option ${o.code} ${o.hex}`),
  ];
}

describe.each(groups)("%s", (_, corefile, cases) => {
  test.each(cases)("%s", async (asked, want) => {
    const world = await startWorld(corefile, files);
    try {
      expect(await world.ask(asked)).toEqual(want);
    } finally {
      await world.close();
    }
  });
});

test.each([
  ["", "NOERROR aa"],
  ["transfer org {\n to 10.0.0.1\n}\n", "REFUSED"],
])("transfer is for zones at or below its own, where none is closer: with %j %s", async (closer, want) => {
  const world = await startWorld(block(`transfer . {\n to *\n}\n${closer}file db.example example.org`), files);
  const [code] = await world.ask("example.org. AXFR +tcp");
  await world.close();
  expect(code).toBe(want);
});

test("a whole zone of a file begins and ends with its SOA", async () => {
  const world = await startWorld(block("transfer {\n to *\n}\nfile db.example example.org", "example.org"), files);
  const lines = await world.ask("example.org. AXFR +tcp");
  await world.close();
  expect([lines.length, lines[1]?.includes(" SOA "), lines.at(-1)?.includes(" SOA ")]).toEqual([20, true, true]);
});

test("log writes a line for each query of its zones whose answer is of a class asked for", async () => {
  const world = await startWorld(
    block(
      'metadata\nlog example.org "{remote}:{port} {type} {name} {rcode} {>rflags} {rsize} {/kubernetes/client-pod-name} {nothing}" {\n class denial\n}\nfile db.example example.org\nlog . {\n class error\n}',
    ),
    files,
  );
  for (const asked of ["nope.example.org. A", "www.example.org. A", "elsewhere.org. A"]) await world.ask(asked);
  await world.close();
  expect(world.lines).toEqual([
    "10.244.1.9:4242 A nope.example.org. NXDOMAIN qr,aa,rd 84 web-0 -",
    '10.244.1.9:4242 - 7 "A IN elsewhere.org. udp 42 false 1232" REFUSED qr,rd 31 0s',
  ]);
});

describe("what the answerer may say without the chain", () => {
  test.each([
    [
      "errors\nhealth\nready\nlog . {\n class error\n}\nkubernetes cluster.local\nprometheus\nforward . 10.0.0.1\ncache 30\nloop\nreload\nloadbalance",
      "all",
    ],
    ["rewrite name exact a.example.org b.example.org\nrewrite name suffix .corp .other\nkubernetes cluster.local", "all"],
    ["hosts {\n 10.0.0.1 a.example.org\n fallthrough\n}\nkubernetes cluster.local", "all"],
    ["hosts {\n 10.0.0.1 web.shop.svc.cluster.local\n fallthrough\n}\nkubernetes cluster.local", "none"],
    ["hosts {\n 10.0.0.1 a.example.org\n}\nkubernetes cluster.local", "none"],
    ["autopath @kubernetes\nkubernetes cluster.local", "existing"],
    ["rewrite name suffix .corp .svc.cluster.local\nkubernetes cluster.local", "all"],
    ["rewrite name suffix .local .x\nkubernetes cluster.local", "none"],
    ["rewrite name regex (.*) {1}\nkubernetes cluster.local", "none"],
    ["log\nkubernetes cluster.local", "none"],
    ["acl {\n block net 10.0.0.0/8\n}\nkubernetes cluster.local", "none"],
    ["acl example.org {\n block net 10.0.0.0/8\n}\nkubernetes cluster.local", "all"],
    ["dns64\nkubernetes cluster.local", "none"],
    ["forward . 10.0.0.1", "all"],
  ] as const)("%j: %s", async (lines, want) => {
    const world = await startWorld(block(lines), files);
    try {
      expect(world.directness()).toBe(want);
    } finally {
      await world.close();
    }
  });

  test("a block of a zone below the cluster's has a say too", async () => {
    const world = await startWorld(`${block("kubernetes cluster.local")}${block("whoami", "me.cluster.local")}`);
    expect(world.directness()).toBe("none");
    await world.close();
  });
});
