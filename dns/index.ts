export { Answerer } from "./answer/answerer.ts";
export { type DnsServer, type DnsServerConfig, type DnsServerDeps, startDnsServer } from "./server/dns-server.ts";
export { DnsZone, type DnsZoneConfig } from "./zone/dns-zone.ts";
export type { NameRecords, RecordDelta, RecordSet } from "./zone/record-delta.ts";
export { reverseZones } from "./zone/reverse-zone.ts";
