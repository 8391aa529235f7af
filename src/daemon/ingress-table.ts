import type { Certificate, Pool, ProxySettings, Route, RouteDelta, StreamService } from "../../ingress/index.ts";
import type { KeyedDelta } from "./state-stream.ts";

/** Routes, pools, certificates, ports and settings travel as one keyed table: the first two characters of a key say which it is. */
type Entries = readonly (readonly [key: string, value: unknown])[];

export function ingressEntries(delta: RouteDelta): { readonly upserts: Entries; readonly deletes: readonly string[] } {
  return {
    upserts: [
      // Pools and certificates first: a route must not come before what it needs.
      ...delta.pools.upserts.map((p) => [`p:${p.id}`, p] as const),
      ...delta.certificates.upserts.map((c) => [`c:${c.host}`, c] as const),
      ...delta.routes.upserts.map((r) => [`r:${r.id}`, r] as const),
      ...(delta.streams?.upserts ?? []).map((s) => [`t:${s.id}`, s] as const),
      ...(delta.gossip === undefined ? [] : [["g:", delta.gossip] as const]),
      ...(delta.zone === undefined ? [] : [["z:", delta.zone] as const]),
      ...(delta.settings === undefined ? [] : [["s:", delta.settings] as const]),
    ],
    deletes: [
      ...delta.routes.deletes.map((id) => `r:${id}`),
      ...delta.pools.deletes.map((id) => `p:${id}`),
      ...delta.certificates.deletes.map((host) => `c:${host}`),
      ...(delta.streams?.deletes ?? []).map((id) => `t:${id}`),
    ],
  };
}

/** The inverse, in the process that serves the routes. */
export function ingressDelta(delta: KeyedDelta): RouteDelta {
  const values = <T>(prefix: string): T[] => delta.upserts.filter(([key]) => key.startsWith(prefix)).map(([, value]) => value as T);
  const keys = (prefix: string): string[] => delta.deletes.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  const [settings] = values<ProxySettings>("s:");
  const [zone] = values<string>("z:");
  const [gossip] = values<NonNullable<RouteDelta["gossip"]>>("g:");
  return {
    revision: delta.revision,
    full: false,
    routes: { upserts: values<Route>("r:"), deletes: keys("r:") },
    pools: { upserts: values<Pool>("p:"), deletes: keys("p:") },
    certificates: { upserts: values<Certificate>("c:"), deletes: keys("c:") },
    streams: { upserts: values<StreamService>("t:"), deletes: keys("t:") },
    ...(settings === undefined ? {} : { settings }),
    ...(gossip === undefined ? {} : { gossip }),
    ...(zone === undefined ? {} : { zone }),
  };
}
