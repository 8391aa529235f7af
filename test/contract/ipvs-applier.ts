import assert from "node:assert/strict";
import { isApplyError } from "../../rules/apply/errors.ts";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import type { ChangeGroup, IpvsState, IpvsTransaction } from "../../rules/ipvs/transaction.ts";
import {
  fwmarkBase,
  type IpvsItem,
  itemId,
  type ServiceMatch,
  type SetDefinition,
  type SetField,
  type VirtualService,
} from "../../rules/ipvs/values.ts";
import type { Protocol } from "../../rules/model/service-port.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import type { GuestCase } from "../support/guest-case.ts";

const at = (ip: string, port: number, protocol: Protocol = "tcp"): ServiceMatch => ({ kind: "address", protocol, ip, port });
const mark4: ServiceMatch = { kind: "fwmark", family: 4, mark: fwmarkBase + 1 };
const mark6: ServiceMatch = { kind: "fwmark", family: 6, mark: fwmarkBase + 1 };
const service = (match: ServiceMatch, more: Partial<VirtualService> = {}): IpvsItem => ({
  kind: "service",
  service: { match, scheduler: "rr", ...more },
});
const real = (match: ServiceMatch, ip: string, weight = 1): IpvsItem => ({ kind: "real", match, real: { ip, port: 8080, weight } });
const address = (ip: string): IpvsItem => ({ kind: "address", ip });
const entry = (set: string, ...fields: readonly SetField[]): IpvsItem => ({ kind: "entry", entry: { set, fields } });
const marked = (set: string, mark: number, ...fields: readonly SetField[]): IpvsItem => ({ kind: "entry", entry: { set, fields, mark } });
const net = (text: string): SetField => parseCidr(text) ?? assert.fail(text);
const tcp = (port: number): SetField => ({ protocol: "tcp", port });

const sets: readonly SetDefinition[] = [
  { name: "FAIRWAY-T-IP", type: "hash:ip", family: 4 },
  { name: "FAIRWAY-T-NET", type: "hash:net", family: 4 },
  { name: "FAIRWAY-T-IPPORT", type: "hash:ip,port", family: 4 },
  { name: "FAIRWAY-T-IPPORTIP", type: "hash:ip,port,ip", family: 4 },
  { name: "FAIRWAY-T-IPPORTNET", type: "hash:ip,port,net", family: 4 },
  { name: "FAIRWAY-T-6-IPPORTIP", type: "hash:ip,port,ip", family: 6 },
  { name: "FAIRWAY-T-6-IPPORTNET", type: "hash:ip,port,net", family: 6 },
  { name: "FAIRWAY-T-PORTS", type: "bitmap:port" },
  { name: "FAIRWAY-T-MARKS", type: "hash:ip,port", family: 4, marks: true },
  { name: "FAIRWAY-T-6-MARKS", type: "hash:ip,port", family: 6, marks: true },
];
const items: readonly IpvsItem[] = [
  ...["10.96.0.1", "10.96.0.2", "fd96::1"].map(address),
  service(at("10.96.0.1", 80)),
  service(at("10.96.0.1", 53, "udp")),
  service(at("10.96.0.2", 80), { scheduler: "sh", schedulerFlags: 3 }),
  service(at("10.96.0.2", 443), { scheduler: "wrr", persistenceSeconds: 10800 }),
  service(at("fd96::1", 80), { scheduler: "lc", persistenceSeconds: 60 }),
  service(at("fd96::1", 90, "sctp")),
  service(mark4),
  service(mark6, { scheduler: "wlc" }),
  real(at("10.96.0.1", 80), "10.244.1.2"),
  real(at("10.96.0.1", 80), "10.244.1.3", 0),
  real(at("10.96.0.1", 53, "udp"), "10.244.1.2"),
  real(at("10.96.0.2", 443), "10.244.1.2", 7),
  real(at("fd96::1", 80), "fd44::2"),
  real(mark4, "10.244.1.2"),
  real(mark6, "fd44::2", 3),
  entry("FAIRWAY-T-IP", "10.0.0.1"),
  entry("FAIRWAY-T-NET", net("10.0.0.0/8")),
  entry("FAIRWAY-T-NET", net("192.0.2.1/32")),
  entry("FAIRWAY-T-IPPORT", "10.96.0.1", tcp(80)),
  entry("FAIRWAY-T-IPPORT", "10.96.0.1", { protocol: "udp", port: 80 }),
  entry("FAIRWAY-T-IPPORT", "10.96.0.1", { protocol: "sctp", port: 80 }),
  entry("FAIRWAY-T-IPPORTIP", "10.244.1.2", tcp(8080), "10.244.1.2"),
  entry("FAIRWAY-T-IPPORTNET", "10.96.0.1", tcp(80), net("172.16.0.0/12")),
  entry("FAIRWAY-T-6-IPPORTIP", "fd44::2", tcp(8080), "fd44::2"),
  entry("FAIRWAY-T-6-IPPORTNET", "fd96::1", tcp(80), net("fd00::/8")),
  entry("FAIRWAY-T-PORTS", { port: 30080 }),
  marked("FAIRWAY-T-MARKS", fwmarkBase + 1, "10.96.0.1", tcp(80)),
  marked("FAIRWAY-T-MARKS", 0xffff_ffff, "10.96.0.2", tcp(80)),
  marked("FAIRWAY-T-6-MARKS", 1, "fd96::1", tcp(80)),
];

const group = (owner: string, change: Partial<ChangeGroup>): ChangeGroup => ({ owner, deletes: [], changes: [], adds: [], ...change });
const groups = (...of: readonly ChangeGroup[]): IpvsTransaction => ({ createSets: [], groups: of, destroySets: [] });
const everything: IpvsTransaction = { createSets: sets, groups: [group("everything", { adds: items })], destroySets: [] };

export function assertState(found: IpvsState, wantSets: readonly SetDefinition[], wantItems: readonly IpvsItem[]): void {
  const byName = (a: SetDefinition, b: SetDefinition): number => a.name.localeCompare(b.name);
  const byId = (a: IpvsItem, b: IpvsItem): number => itemId(a).localeCompare(itemId(b));
  assert.deepEqual([...found.items.values()].sort(byId), [...wantItems].sort(byId));
  assert.deepEqual([...found.sets.values()].sort(byName), [...wantSets].sort(byName));
  for (const [id, item] of found.items) assert.equal(id, itemId(item));
}

async function failure(work: Promise<void>): Promise<{ readonly code: string; readonly owner: string | undefined }> {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(isApplyError(error), `should fail with an ApplyError: ${String(error)}`);
  return { code: error.code, owner: error.owner };
}

/** What every implementation does; `open` gives one that has nothing yet. */
export function ipvsApplierContract(name: string, open: (signal: AbortSignal) => Promise<IpvsApplier>): readonly GuestCase[] {
  const contract = (what: string, work: (applier: IpvsApplier, signal: AbortSignal) => Promise<void>): GuestCase => ({
    name: `${name}: ${what}`,
    async run(signal) {
      const applier = await open(signal);
      try {
        await work(applier, signal);
      } finally {
        await applier.remove(signal);
        await applier.close();
      }
    },
  });
  return [
    contract("there is nothing where nothing was made, and removing it is no error", async (applier, signal) => {
      await applier.probe(signal);
      assertState(await applier.read(signal), [], []);
      await applier.remove(signal);
      await applier.remove(signal);
      await applier.prepare(signal);
    }),
    contract("what is applied is read back, both families, every kind of item and set", async (applier, signal) => {
      await applier.apply(everything, signal);
      assertState(await applier.read(signal), sets, items);
    }),
    contract("settings are changed in place", async (applier, signal) => {
      const web = at("10.96.0.1", 80);
      const one = [address("10.96.0.1"), service(web), real(web, "10.244.1.2"), real(web, "10.244.1.3")];
      await applier.apply(groups(group("web", { adds: one })), signal);
      const set: SetDefinition = { name: "FAIRWAY-T-MARKS", type: "hash:ip,port", family: 4, marks: true };
      const mark = (value: number): IpvsItem => marked(set.name, value, "10.96.0.1", tcp(80));
      await applier.apply({ createSets: [set], groups: [group("web", { adds: [mark(1)] })], destroySets: [] }, signal);
      let now = [...one, mark(1)];
      for (const [i, after] of [
        [4, mark(2)],
        [1, service(web, { scheduler: "wlc" })],
        [1, service(web, { scheduler: "sh", schedulerFlags: 2, persistenceSeconds: 77 })],
        [1, service(web)],
        [2, real(web, "10.244.1.2", 0)],
        [2, real(web, "10.244.1.2", 100)],
      ] as const) {
        const before = now[i] ?? assert.fail("there is one");
        await applier.apply(groups(group("web", { changes: [{ before, after }] })), signal);
        now = now.with(i, after);
        assertState(await applier.read(signal), [set], now);
      }
    }),
    contract("an endpoint is swapped; what is deleted is gone, with the real servers of a service", async (applier, signal) => {
      await applier.apply(everything, signal);
      const web = at("10.96.0.1", 80);
      const swap = group("web", { deletes: [real(web, "10.244.1.2")], adds: [real(web, "10.244.1.9")] });
      await applier.apply(groups(swap), signal);
      const swapped = items.map((item) => (itemId(item) === itemId(real(web, "10.244.1.2")) ? real(web, "10.244.1.9") : item));
      assertState(await applier.read(signal), sets, swapped);
      const deletes = swapped.filter((item) => item.kind !== "real");
      await applier.apply({ createSets: [], groups: [group("everything", { deletes })], destroySets: sets }, signal);
      assertState(await applier.read(signal), [], []);
    }),
    contract("a refused item fails the whole transaction, changes nothing and is told", async (applier, signal) => {
      await applier.apply(everything, signal);
      const fresh = at("10.96.0.3", 80);
      const web = at("10.96.0.1", 80);
      const good = group("good", {
        adds: [address("10.96.0.3"), service(fresh), real(fresh, "10.244.1.2"), entry("FAIRWAY-T-IP", "10.96.0.3")],
        changes: [
          { before: real(web, "10.244.1.2"), after: real(web, "10.244.1.2", 5) },
          { before: service(web), after: service(web, { scheduler: "wrr" }) },
        ],
        deletes: [service(at("10.96.0.1", 53, "udp"))],
      });
      const bad = group("bad", { adds: [service(at("10.96.0.4", 80), { scheduler: "none-such" }), address("10.96.0.4")] });
      const set: SetDefinition = { name: "FAIRWAY-T-NEW", type: "hash:ip", family: 4 };
      const { code, owner } = await failure(applier.apply({ createSets: [set], groups: [good, bad], destroySets: [] }, signal));
      assert.equal(code, "REFUSED");
      assert.equal(owner, "bad");
      assertState(await applier.read(signal), sets, items);
      // without it, it goes through
      await applier.apply(groups(good), signal);
      assert.ok((await applier.read(signal)).items.has(itemId(service(fresh))));
    }),
    contract("a change of what is not there says that it is not as thought, and nothing changes", async (applier, signal) => {
      const web = at("10.96.0.1", 80);
      const one = [address("10.96.0.1"), service(web), real(web, "10.244.1.2")];
      await applier.apply(groups(group("web", { adds: one })), signal);
      const rows: readonly (readonly [string, Partial<ChangeGroup>])[] = [
        ["deleting a service", { deletes: [service(at("10.96.0.77", 80))] }],
        ["changing a service", { changes: [{ before: service(mark4), after: service(mark4, { scheduler: "lc" }) }] }],
        ["a real server without its service", { adds: [real(at("10.96.0.77", 80), "10.244.1.2")] }],
        ["changing a real server", { changes: [{ before: real(mark4, "10.1.1.1"), after: real(mark4, "10.1.1.1", 9) }] }],
        ["an entry without its set", { adds: [entry("FAIRWAY-T-NONE", "10.0.0.1")] }],
      ];
      for (const [what, change] of rows) {
        assert.equal((await failure(applier.apply(groups(group("x", change)), signal))).code, "DIVERGED", what);
        assertState(await applier.read(signal), [], one);
      }
    }),
    contract("adding what is there says that it is not as thought, and the rest is undone", async (applier, signal) => {
      const web = at("10.96.0.1", 80);
      const one = [address("10.96.0.1"), service(web), real(web, "10.244.1.2")];
      await applier.apply(groups(group("web", { adds: one })), signal);
      const again = group("again", { adds: [service(at("10.96.0.1", 81)), real(at("10.96.0.1", 81), "10.244.1.2"), service(web)] });
      assert.equal((await failure(applier.apply(groups(again), signal))).code, "DIVERGED");
      assertState(await applier.read(signal), [], one);
    }),
  ];
}
