import { describe, expect, test } from "vitest";
import { Answerer, type AnswererConfig } from "../../../dns/answer/answerer.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { parseType, printRcode } from "../../../dns/wire/record-type.ts";
import { printRecord } from "../../../dns/wire/zone-file.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import type { RecordDelta } from "../../../dns/zone/record-delta.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { shop } from "./shop.ts";

const big = [
  { kind: "Service", metadata: { namespace: "shop", name: "many" }, spec: { clusterIP: "None" } },
  {
    kind: "EndpointSlice",
    metadata: { namespace: "shop", name: "many-1", labels: { "kubernetes.io/service-name": "many" } },
    addressType: "IPv4",
    endpoints: Array.from({ length: 200 }, (_, i) => ({ addresses: [`10.9.0.${i + 1}`] })),
    ports: [{ name: "db", port: 5432, protocol: "TCP" }],
  },
];

function shopAnswerer(config: Partial<AnswererConfig> = {}): Answerer {
  const zone = new DnsZone({ revision: 41 });
  zone.apply(batchFromEmpty(snapshotOf([...shop, ...big])));
  const answerer = new Answerer(config);
  answerer.apply(zone.full());
  answerer.setSynced();
  return answerer;
}

/** A query's bytes; `edit` changes the message first. */
function query(name: string, type = "A", edit: (m: Message) => Message = (m) => m): Uint8Array {
  return encodeMessage(edit(questionMessage({ name, type: parseType(type) ?? 0, class: 1 }, { id: 0x1234 })));
}

function ask(answerer: Answerer, bytes: Uint8Array, transport: "udp" | "tcp" = "udp"): Message | "silence" | "chain" {
  const out = new Uint8Array(transport === "udp" ? 1232 : 0xffff);
  const n = answerer.answer(bytes, bytes.length, "10.244.0.5", out, transport);
  return n === undefined ? "chain" : n === 0 ? "silence" : decodeMessage(out.subarray(0, n));
}

function answered(m: Message | "silence" | "chain"): Message {
  if (typeof m === "string") throw new Error(m);
  return m;
}

const withoutEdns = ({ edns: _, ...m }: Message): Message => m;
const web = "web.shop.svc.cluster.local.";

describe("an answer's head", () => {
  const answerer = shopAnswerer();

  test("has id, RD and the case of the question as they came", () => {
    const m = answered(ask(answerer, query("wEb.Shop.SVC.cluster.LOCAL.")));
    expect(m).toMatchObject({
      id: 0x1234,
      isResponse: true,
      authoritative: true,
      recursionDesired: true,
      recursionAvailable: true,
      rcode: 0,
    });
    expect(m.questions[0]?.name).toBe("wEb.Shop.SVC.cluster.LOCAL.");
    expect(m.answers.map(printRecord)).toEqual(["wEb.Shop.SVC.cluster.LOCAL. 5 IN A 10.96.0.20"]);
  });

  test("has an OPT record only for those who sent one, with DO as it came", () => {
    expect(answered(ask(answerer, query(web, "A", withoutEdns))).edns).toBeUndefined();
    const asked = query(web, "A", (m) => ({ ...m, edns: { udpSize: 4096, version: 0, dnssecOk: true, options: [] } }));
    expect(answered(ask(answerer, asked)).edns).toEqual({ udpSize: 1232, version: 0, dnssecOk: true, options: [] });
  });

  test("keeps CD, clears AD", () => {
    const m = answered(
      ask(
        answerer,
        query(web, "A", (q) => ({ ...q, checkingDisabled: true, authenticData: true })),
      ),
    );
    expect(m).toMatchObject({ checkingDisabled: true, authenticData: false });
  });

  test("says that recursion is to be had to allowed clients only", () => {
    expect(answered(ask(shopAnswerer({ isAllowed: () => false }), query(web))).recursionAvailable).toBe(false);
  });

  test("its SOA's serial is the revision", () => {
    const m = answered(ask(answerer, query("nope.cluster.local.")));
    expect(m.authority.map(printRecord)).toEqual([
      "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 42 7200 1800 86400 5",
    ]);
  });
});

describe("what is wrong with a query", () => {
  const answerer = shopAnswerer();
  const bytes = query(web);
  const edited = (edit: (b: Uint8Array) => void, length = bytes.length): Uint8Array => {
    const copy = new Uint8Array(length);
    copy.set(bytes.subarray(0, length));
    edit(copy);
    return copy;
  };
  const set =
    (at: number, ...values: number[]) =>
    (b: Uint8Array): void =>
      b.set(values, at);
  test.each<[string, Uint8Array, string]>([
    ["less than a head", bytes.subarray(0, 11), "silence"],
    ["an answer", edited(set(2, 0x80)), "silence"],
    ["opcode 2 (status)", edited(set(2, 0x10)), "NOTIMP"],
    ["opcode 5 (update)", edited(set(2, 0x28)), "NOTIMP"],
    ["no question", edited(set(4, 0, 0)), "FORMERR"],
    ["two questions", edited(set(4, 0, 2)), "FORMERR"],
    ["a name cut off", edited(() => {}, 20), "FORMERR"],
    ["a label of a reserved type", edited(set(12, 0x43)), "FORMERR"],
    ["a compressed question", edited(set(12, 0xc0, 12)), "FORMERR"],
    ["a type cut off", edited(() => {}, 12 + 28 + 2), "FORMERR"],
    ["bytes behind the last record", edited(() => {}, bytes.length + 3), "FORMERR"],
    ["bytes behind a question without OPT", Uint8Array.from([...query(web, "A", withoutEdns), 1]), "FORMERR"],
    ["an OPT record cut off", edited(() => {}, bytes.length - 1), "FORMERR"],
    ["an option longer than its record", Uint8Array.from([...edited(set(bytes.length - 1, 5)), 0, 10, 0, 8, 1]), "FORMERR"],
    ["EDNS version 1", edited(set(bytes.length - 5, 1)), "BADVERS"],
    ["a record that is not OPT", edited(set(12 + 28 + 4 + 2, 250)), "chain"],
    ["a record in the authority section", edited(set(8, 0, 1)), "chain"],
    ["class CH", edited(set(12 + 28 + 3, 3)), "chain"],
  ])("%s", (_, sent, want) => {
    const m = ask(answerer, sent);
    expect(typeof m === "string" ? m : printRcode(m.rcode)).toBe(want);
  });
});

describe("an answer that does not fit", () => {
  const answerer = shopAnswerer();
  const name = "many.shop.svc.cluster.local.";

  test.each([
    ["512 bytes without EDNS", withoutEdns, 29],
    ["1232 bytes at most", (m: Message): Message => m, 73],
    ["what the client can take", (m: Message): Message => ({ ...m, edns: { udpSize: 800, version: 0, dnssecOk: false, options: [] } }), 46],
  ])("has TC and what fits: %s", (_, edit, want) => {
    const m = answered(ask(answerer, query(name, "A", edit)));
    expect(m.truncated).toBe(true);
    expect(m.answers.length).toBe(want);
  });

  test("is whole over TCP", () => {
    const m = answered(ask(answerer, query(name, "A", withoutEdns), "tcp"));
    expect(m.truncated).toBe(false);
    expect(m.answers.length).toBe(200);
  });

  test("SRV records are cut at a record, additional ones go first", () => {
    const srv = `_db._tcp.${name}`;
    const cut = answered(ask(answerer, query(srv, "SRV")));
    expect(cut.truncated).toBe(true);
    expect(cut.answers.length).toBeGreaterThan(10);
    expect(cut.additional).toEqual([]);
    const whole = answered(ask(answerer, query(srv, "SRV"), "tcp"));
    expect([whole.answers.length, whole.additional.length]).toEqual([200, 200]);
    expect(whole.additional.at(-1)).toMatchObject({ name: `10-9-0-200.${name}`, data: { kind: "A", ip: "10.9.0.200" } });
  });
});

test("addresses of a headless Service take turns", () => {
  const answerer = shopAnswerer();
  const first = Array.from({ length: 4 }, () => {
    const data = answered(ask(answerer, query("store.shop.svc.cluster.local."))).answers[0]?.data;
    return data?.kind === "A" ? data.ip : "";
  });
  expect(first).toEqual(["10.244.1.2", "10.244.1.3", "10.244.1.2", "10.244.1.3"]);
});

test("before the first sync what is known is answered, the rest is SERVFAIL", () => {
  const zone = new DnsZone();
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  const answerer = new Answerer();
  const rcode = (name: string, type = "A"): string => printRcode(answered(ask(answerer, query(name, type))).rcode);
  expect(rcode(web)).toBe("SERVFAIL");
  answerer.apply(zone.full());
  expect([rcode(web), rcode(web, "AAAA"), rcode("later.shop.svc.cluster.local.")]).toEqual(["NOERROR", "NOERROR", "SERVFAIL"]);
  answerer.setSynced();
  expect(rcode("later.shop.svc.cluster.local.")).toBe("NXDOMAIN");
});

test("a name goes with its last record, and its parents with their last name", () => {
  const answerer = shopAnswerer();
  const size = answerer.size;
  const rcode = (name: string): string => printRcode(answered(ask(answerer, query(name))).rcode);
  const key = "a.b.c.cluster.local.";
  answerer.apply({ revision: 43, upserts: [{ key, records: { sets: [{ data: [{ kind: "A", ip: "10.0.0.1" }] }] } }], deletes: [] });
  expect([rcode(key), rcode("b.c.cluster.local."), rcode("x.c.cluster.local."), answerer.size]).toEqual([
    "NOERROR",
    "NOERROR",
    "NXDOMAIN",
    size + 3,
  ]);
  answerer.apply({ revision: 44, upserts: [], deletes: [key] });
  expect([rcode(key), rcode("c.cluster.local."), answerer.size]).toEqual(["NXDOMAIN", "NXDOMAIN", size]);
});

test("in a zone of others what is known is answered, all else is left to the chain", () => {
  const answerer = new Answerer({ kubernetes: { zones: ["cluster.local.", "244.10.in-addr.arpa."] }, passing: ["in-addr.arpa."] });
  const ptr = (key: string, target: string): RecordDelta["upserts"][number] => ({
    key,
    records: { sets: [{ data: [{ kind: "PTR", target }] }] },
  });
  const node = ptr("5.0.168.192.in-addr.arpa.", "kubernetes.default.svc.cluster.local.");
  answerer.apply({ revision: 1, upserts: [node, ptr("1.0.244.10.in-addr.arpa.", "a.")], deletes: [] });
  answerer.setSynced();
  const outcome = (name: string, type = "PTR"): string => {
    const m = ask(answerer, query(name, type));
    return typeof m === "string" ? m : `${printRcode(m.rcode)} ${m.answers.length}`;
  };
  expect(outcome("5.0.168.192.in-addr.arpa.")).toBe("NOERROR 1");
  for (const name of ["6.0.168.192.in-addr.arpa.", "0.168.192.in-addr.arpa.", "in-addr.arpa.", "8.8.8.8.in-addr.arpa."])
    expect(outcome(name)).toBe("chain");
  expect(outcome("2.0.244.10.in-addr.arpa.")).toBe("NXDOMAIN 0");
  expect(outcome("1.0.244.10.in-addr.arpa.")).toBe("NOERROR 1");
  answerer.apply({ revision: 2, upserts: [], deletes: [node.key] });
  expect(outcome(node.key)).toBe("chain");
  expect(answerer.size).toBe(5);
});

test("a full delta leaves nothing of what was before", () => {
  const answerer = shopAnswerer();
  answerer.apply({ revision: 50, full: true, upserts: [], deletes: [] });
  expect(answerer.size).toBe(1);
  expect(answerer.revision).toBe(50);
});

test("names that are not stated anew are known, also when a first try was cut off", () => {
  const zone = new DnsZone();
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  const { upserts } = zone.full();
  const answerer = shopAnswerer();
  const many = upserts.filter(({ key }) => !key.includes("web.shop"));
  answerer.restate();
  answerer.apply({ revision: 50, upserts: upserts.slice(0, 5), deletes: [] });
  answerer.restate();
  answerer.apply({ revision: 51, upserts: many, deletes: [] });
  const left = answerer.unstated();
  expect(left).toContain(web);
  expect(left).toContain("many.shop.svc.cluster.local.");
  expect(left).not.toContain("cluster.local.");
  for (const { key } of many) expect(left).not.toContain(key);
  answerer.apply({ revision: 52, upserts: [], deletes: left });
  const fresh = new Answerer();
  fresh.apply({ revision: 52, full: true, upserts: many, deletes: [] });
  fresh.setSynced();
  expect(answerer.size).toBe(fresh.size);
  expect(answerer.unstated()).toEqual([]);
  for (const name of [web, ...many.map((n) => n.key)]) expect(ask(answerer, query(name))).toEqual(ask(fresh, query(name)));
});

test("ten thousand replacements leave no more garbage than names", () => {
  const answerer = shopAnswerer();
  for (let i = 0; i < 10_000; i++) {
    const sets = [{ data: Array.from({ length: 1 + (i % 50) }, (_, k) => ({ kind: "A", ip: `10.1.${i % 200}.${k}` }) as const) }];
    answerer.apply({ revision: 100 + i, upserts: [{ key: `n${i % 20}.shop.svc.cluster.local.`, records: { sets } }], deletes: [] });
  }
  expect(answerer.memory.used).toBeLessThan(3 << 20);
  expect(answered(ask(answerer, query("n19.shop.svc.cluster.local."), "tcp")).answers.length).toBe(50);
});

test("names that come take the places of those that went", () => {
  const answerer = shopAnswerer();
  const key = (i: number): string => `10-1-${(i >> 8) & 255}-${i & 255}.store.shop.svc.cluster.local.`;
  const sets = [{ data: [{ kind: "A", ip: "10.1.2.3" } as const] }];
  const before = answerer.memory.used;
  for (let i = 0; i < 20_000; i++) {
    answerer.apply({ revision: 100 + i, upserts: [{ key: key(i), records: { sets } }], deletes: i < 50 ? [] : [key(i - 50)] });
  }
  // fifty are there at a time
  expect(answerer.memory.used - before).toBeLessThan(20 << 10);
  expect(answered(ask(answerer, query(key(19_999)))).answers.length).toBe(1);
  expect(answered(ask(answerer, query(key(19_900)))).answers.length).toBe(0);
});

test("additional records point at their targets: several ports, shared hostnames, two families", () => {
  const slice = (name: string, addressType: string, endpoints: readonly object[]) => ({
    kind: "EndpointSlice",
    metadata: { namespace: "shop", name, labels: { "kubernetes.io/service-name": "mixed" } },
    addressType,
    endpoints,
    ports: [
      { name: "a", port: 1, protocol: "TCP" },
      { name: "b", port: 2, protocol: "TCP" },
    ],
  });
  const objects = [
    { kind: "Service", metadata: { namespace: "shop", name: "mixed" }, spec: { clusterIP: "None" } },
    slice("m-4", "IPv4", [
      { addresses: ["10.9.0.1"], hostname: "twin" },
      { addresses: ["10.9.0.2"] },
      { addresses: ["10.9.0.3"], hostname: "twin" },
    ]),
    slice("m-6", "IPv6", [{ addresses: ["fd00::1"], hostname: "twin" }]),
  ] as const;
  const zone = new DnsZone();
  zone.apply(batchFromEmpty(snapshotOf(objects)));
  const answerer = new Answerer();
  answerer.apply(zone.full());
  const name = "mixed.shop.svc.cluster.local.";
  const m = answered(ask(answerer, query(name, "SRV"), "tcp"));
  expect(m.answers.map(printRecord)).toEqual(
    ["twin", "10-9-0-2"].flatMap((host) => [1, 2].map((p) => `${name} 5 IN SRV 0 12 ${p} ${host}.${name}`)),
  );
  expect(m.additional.map(printRecord)).toEqual([
    `twin.${name} 5 IN A 10.9.0.1`,
    `twin.${name} 5 IN A 10.9.0.3`,
    `twin.${name} 5 IN AAAA fd00::1`,
    `10-9-0-2.${name} 5 IN A 10.9.0.2`,
  ]);
});
