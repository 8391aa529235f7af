import fc from "fast-check";
import { expect, test } from "vitest";
import { Answerer } from "../../dns/answer/answerer.ts";
import { questionMessage } from "../../dns/handler/handler.ts";
import { ZoneTransfers } from "../../dns/server/zone-transfers.ts";
import { decodeMessage, encodeMessage } from "../../dns/wire/message.ts";
import type { ResourceRecord } from "../../dns/wire/record.ts";
import { parseRecord, printRecord } from "../../dns/wire/zone-file.ts";
import { DnsZone } from "../../dns/zone/dns-zone.ts";
import type { RecordDelta } from "../../dns/zone/record-delta.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { runs } from "../support/runs.ts";

/** Endpoints of one slice: which numbers are in it. */
type Members = readonly number[];

const slices = 3;
const most = 120;
const members: fc.Arbitrary<Members> = fc.integer({ min: 60, max: most }).map((n) => Array.from({ length: n }, (_, i) => i));
/** One endpoint comes or goes, at any place; or a slice is another altogether. */
const step = fc.record({
  slice: fc.nat(slices - 1),
  change: fc.oneof(
    { weight: 8, arbitrary: fc.record({ toggle: fc.nat(most + 20) }) },
    { weight: 1, arbitrary: fc.record({ members: fc.oneof(members, fc.constant([])) }) },
    { weight: 1, arbitrary: fc.constant({ reverse: true }) },
  ),
});
const steps = fc.array(step, { minLength: 1, maxLength: 25 });

function makeSlice(slice: number, own: Members) {
  return {
    metadata: { namespace: "a", name: `big-${slice}`, labels: { "kubernetes.io/service-name": "big" } },
    addressType: slice === 2 ? "IPv6" : "IPv4",
    endpoints: own.map((i) =>
      slice === 2 ? { addresses: [`fd00::${(i + 1).toString(16)}`], hostname: `h-${i}` } : { addresses: [`10.${slice}.0.${i}`] },
    ),
    ports: [{ name: "x", port: 8080, protocol: "TCP" }],
  };
}

/** All deltas of a run, the first with everything, and the zone as it is in the end. */
function follow(all: readonly (typeof steps extends fc.Arbitrary<(infer S)[]> ? S : never)[]): { deltas: RecordDelta[]; zone: DnsZone } {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => {});
  const zone = new DnsZone();
  const deltas = [zone.full()];
  const take = (): void => {
    const batch = cursor.take();
    if (batch !== undefined) deltas.push(JSON.parse(JSON.stringify(zone.apply(batch).delta)) as RecordDelta);
  };
  const now: Members[] = Array.from({ length: slices }, () => Array.from({ length: most }, (_, i) => i));
  const set = (slice: number): void => store.apply("EndpointSlice", `a/big-${slice}`, makeSlice(slice, now[slice] ?? []), "");
  store.apply("Service", "a/big", { metadata: { namespace: "a", name: "big" }, spec: { clusterIP: "None" } }, "");
  store.apply("Service", "a/small", { metadata: { namespace: "a", name: "small" }, spec: { clusterIP: "10.96.0.7" } }, "");
  for (let slice = 0; slice < slices; slice++) set(slice);
  take();
  for (const { slice, change } of all) {
    const own = now[slice] ?? [];
    if ("members" in change) now[slice] = change.members;
    else if ("reverse" in change) now[slice] = own.toReversed();
    else now[slice] = own.includes(change.toggle) ? own.filter((i) => i !== change.toggle) : [...own, change.toggle];
    set(slice);
    take();
  }
  return { deltas, zone };
}

const asked = [
  "big.a.svc.cluster.local.",
  "_x._tcp.big.a.svc.cluster.local.",
  "small.a.svc.cluster.local.",
  "h-3.big.a.svc.cluster.local.",
];

test("what IXFR tells of any serial before makes the zone of what it was", () => {
  const everybody = { zones: ["cluster.local."], to: "*" } as const;
  fc.assert(
    fc.property(steps, (all) => {
      const answerer = new Answerer();
      const transfers = new ZoneTransfers(answerer, [everybody]);
      const ask = (type: number, serial: number): readonly ResourceRecord[] => {
        const { edns: _, ...query } = questionMessage({ name: "cluster.local.", type, class: 1 }, { id: 1 });
        const soa = parseRecord(`cluster.local. 0 IN SOA a. b. ${serial} 0 0 0 0`);
        const bytes = encodeMessage({ ...query, authority: type === 251 ? [soa] : [] });
        return Array.from(transfers.answer(bytes, "10.0.0.1", "stream") ?? []).flatMap((m) => decodeMessage(m).answers);
      };
      const whole = (): Set<string> => new Set(ask(252, 0).slice(0, -1).map(printRecord));
      const serialOf = (r: ResourceRecord | undefined): number => (r?.data.kind === "SOA" ? r.data.serial : -1);
      const copies: { readonly serial: number; readonly records: Set<string> }[] = [];
      for (const [i, delta] of follow(all).deltas.entries()) {
        transfers.apply(delta);
        if (i % 4 === 1) copies.push({ serial: answerer.revision, records: whole() });
      }
      const now = whole();
      for (const { serial, records } of copies.filter((c) => c.serial !== answerer.revision)) {
        const told = ask(251, serial);
        const soas = told.flatMap((r, at) => (r.data.kind === "SOA" ? [at] : []));
        // where more has changed than there is, the whole zone is told
        if (soas.length === 2) continue;
        const [, before = 0, after = 0, end] = soas;
        expect([soas.length, before, end, serialOf(told[before]), serialOf(told[after])]).toEqual([
          4,
          1,
          told.length - 1,
          serial,
          answerer.revision,
        ]);
        for (const r of told.slice(before, after)) expect(records.delete(printRecord(r))).toBe(true);
        for (const r of told.slice(after, -1)) records.add(printRecord(r));
        expect(Array.from(records).sort()).toEqual(Array.from(now).sort());
      }
      expect(ask(251, answerer.revision).length).toBe(1);
    }),
    runs(15),
  );
});

/** Everything that is answered to these names, whatever its order. */
function answers(answerer: Answerer): unknown {
  return asked.flatMap((name) =>
    [1, 28, 33].map((type) => {
      const query = encodeMessage(questionMessage({ name, type, class: 1 }, { id: 1 }));
      const out = new Uint8Array(0xffff);
      const { rcode, truncated, answers, additional } = decodeMessage(
        out.subarray(0, answerer.answer(query, query.length, "10.0.0.1", out, "tcp")),
      );
      return [rcode, truncated, ...[answers, additional].map((records) => records.map((r) => JSON.stringify(r)).sort())];
    }),
  );
}

function build(zone: DnsZone): unknown {
  const answerer = new Answerer();
  answerer.apply(zone.full());
  return answers(answerer);
}

test("a store that was given edits answers as one that was built of the names as they are", () => {
  let edits = 0;
  fc.assert(
    fc.property(steps, (all) => {
      const { deltas, zone } = follow(all);
      const answerer = new Answerer();
      for (const delta of deltas) {
        answerer.apply(delta);
        edits += delta.edits?.length ?? 0;
      }
      expect(answers(answerer)).toEqual(build(zone));
    }),
    runs(40),
  );
  expect(edits).toBeGreaterThan(0);
});

test("changes that are told again after the names they led to do no harm", () => {
  fc.assert(
    fc.property(steps, fc.nat(), (all, from) => {
      const { deltas, zone } = follow(all);
      const answerer = new Answerer();
      answerer.apply(zone.full());
      // as a child gets those that came while it was given the full state
      for (const delta of deltas.slice(1 + (from % deltas.length))) answerer.apply(delta);
      expect(answers(answerer)).toEqual(build(zone));
    }),
    runs(40),
  );
});

/** Endpoints of a small headless Service, by hostname: their addresses change, come and go. */
const fewEndpoints = fc.array(fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 4 }), { minLength: 8, maxLength: 8 });
const fewSteps = fc.array(fc.record({ service: fc.nat(1), endpoints: fewEndpoints, asked: fc.boolean() }), { minLength: 1, maxLength: 12 });

test("addresses that are kept for SRV answers are those that their targets have now", () => {
  fc.assert(
    fc.property(fewSteps, (all) => {
      const store = new SnapshotStore();
      const cursor = store.cursor(() => {});
      const zone = new DnsZone();
      const kept = new Answerer();
      const services = ["one", "two"];
      const take = (): void => {
        const batch = cursor.take();
        if (batch !== undefined) kept.apply(zone.apply(batch).delta);
      };
      const srvAnswers = (answerer: Answerer): unknown =>
        services.flatMap((name) =>
          [`_x._tcp.${name}.a.svc.cluster.local.`, `${name}.a.svc.cluster.local.`].map((asks) => {
            const query = encodeMessage(questionMessage({ name: asks, type: 33, class: 1 }, { id: 1 }));
            const out = new Uint8Array(1232);
            const m = decodeMessage(out.subarray(0, answerer.answer(query, query.length, "10.0.0.1", out)));
            return [m.rcode, m.answers, m.additional];
          }),
        );
      kept.apply(zone.full());
      for (const name of services)
        store.apply("Service", `a/${name}`, { metadata: { namespace: "a", name }, spec: { clusterIP: "None" } }, "");
      for (const { service, endpoints, asked: isAsked } of all) {
        const name = services[service] ?? "";
        const slice = {
          metadata: { namespace: "a", name, labels: { "kubernetes.io/service-name": name } },
          addressType: "IPv4",
          endpoints: endpoints.flatMap((ip, i) =>
            ip === undefined ? [] : [{ addresses: [`10.${service}.${i}.${ip}`], hostname: `h-${i}` }],
          ),
          ports: [{ name: "x", port: 8080, protocol: "TCP" }],
        };
        store.apply("EndpointSlice", `a/${name}`, slice, "");
        take();
        // what is kept is of any moment before
        if (!isAsked) continue;
        const fresh = new Answerer();
        fresh.apply(zone.full());
        expect(srvAnswers(kept)).toEqual(srvAnswers(fresh));
        expect(srvAnswers(kept)).toEqual(srvAnswers(fresh));
      }
    }),
    runs(100),
  );
});
