import type { DnsBlocks } from "../../../dns/corefile/server-blocks.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { shop } from "./shop.ts";

/** A server of a Corefile's blocks on a free port of 127.0.0.1, which has the shop's names. */
export async function startShopServer(blocks: DnsBlocks): Promise<{ readonly server: DnsServer; readonly port: number }> {
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks });
  await server.ready;
  const zone = new DnsZone(blocks.zones);
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  server.apply(zone.full());
  server.setSynced();
  return { server, port: server.addresses()[0]?.port ?? 0 };
}
