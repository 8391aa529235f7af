import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { startDnsServer } from "../../../dns/server/dns-server.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { shop } from "./shop.ts";

/** What CoreDNS 1.14.7 serves at /metrics for plugins that are here too: families, and the labels of their samples. */
const families: Readonly<Record<string, string>> = {
  coredns_acl_blocked_requests_total: "server view zone",
  coredns_cache_entries: "server type view zones",
  coredns_cache_hits_total: "server type view zones",
  coredns_cache_misses_total: "server view zones",
  coredns_cache_requests_total: "server view zones",
  coredns_dns_request_duration_seconds: "le server view zone",
  coredns_dns_request_size_bytes: "le proto server view zone",
  coredns_dns_requests_total: "family proto server type view zone",
  coredns_dns_response_size_bytes: "le proto server view zone",
  coredns_dns_responses_total: "plugin rcode server view zone",
  coredns_forward_healthcheck_broken_total: "",
  coredns_forward_max_concurrent_rejects_total: "",
  coredns_panics_total: "",
  coredns_plugin_enabled: "name server view zone",
  coredns_proxy_request_duration_seconds: "le proxy_name rcode to",
};

test("metrics are called as in CoreDNS, with its labels, each series once", async () => {
  const start = (corefile: string): ReturnType<typeof startDnsServer> =>
    startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks: readCorefile(corefile, "Corefile", { folder: "/" }) });
  const upstream = start('.:53 {\n template IN A . {\n  answer "{{ .Name }} 60 IN A 10.0.0.9"\n }\n}');
  await upstream.ready;
  const to = upstream.addresses()[0]?.port;
  const blocks = `.:53 {\n acl blocked.test {\n  block\n }\n cache\n kubernetes cluster.local\n forward . 127.0.0.1:${to}\n}\nb.test {\n bind 127.0.0.2\n whoami\n}`;
  const server = start(blocks);
  try {
    await server.ready;
    const zone = new DnsZone();
    zone.apply(batchFromEmpty(snapshotOf(shop)));
    server.apply(zone.full());
    server.setSynced();
    const [main, added] = server.addresses();
    for (const name of ["web.shop.svc.cluster.local", "x.org", "x.org", "a.blocked.test"])
      for (const transport of ["udp", "tcp"] as const) await queryOnce(main ?? { ip: "", port: 0 }, name, { transport, timeout: 20_000 });
    await queryOnce(added ?? { ip: "", port: 0 }, "b.test", { timeout: 20_000 });

    const samples = server
      .metrics()
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    const series = samples.map((line) => line.slice(0, line.lastIndexOf(" ")));
    expect(series.length).toBe(new Set(series).size);
    const found = new Map<string, string>();
    for (const one of series) {
      const name = /^[a-z0-9_]+/.exec(one)?.[0] ?? "";
      const labels = Array.from(one.matchAll(/([a-z_]+)="/g), ([, label = ""]) => label)
        .sort((a, b) => (a < b ? -1 : 1))
        .join(" ");
      if (name.startsWith("coredns_")) found.set(name.replace(/_bucket$/, ""), labels);
    }
    for (const [name, labels] of Object.entries(families)) expect([name, found.get(name)]).toEqual([name, labels]);
    // each listener has numbers of its own
    expect(samples).toContain(
      `coredns_dns_requests_total{server="dns://:${main?.port}",zone=".",view="",proto="tcp",family="1",type="A"} 4`,
    );
    expect(samples).toContain(
      `coredns_dns_requests_total{server="dns://:${added?.port}",zone=".",view="",proto="udp",family="1",type="A"} 1`,
    );
  } finally {
    await server.close();
    await upstream.close();
  }
});

test("a query whose answer comes when its socket is closed is counted all the same", async () => {
  const silent = createSocket("udp4").bind(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address();
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [{ ip: "127.0.0.1", port }] });
  await server.ready;
  const asked = queryOnce(server.addresses()[0] ?? { ip: "", port: 0 }, "x.org", { timeout: 20_000 }).catch(() => undefined);
  await once(silent, "message");
  await server.close();
  silent.close();
  expect(server.metrics()).toMatch(/coredns_dns_requests_total\{[^}]*\} 1/);
  await Promise.race([asked, Promise.resolve()]);
});
