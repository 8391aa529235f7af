export { Answerer, type AnswererConfig } from "./answer/answerer.ts";
export type { DnsAddress, DnsConfig } from "./config/dns-config.ts";
export { printDefaultCorefile } from "./corefile/default-blocks.ts";
export { isCorefileError } from "./corefile/errors.ts";
export type { ForwardTarget } from "./corefile/plugins/forward.ts";
export type { DnsBlocks } from "./corefile/server-blocks.ts";
export { type QueryOnceOptions, queryOnce } from "./forward/query-once.ts";
export {
  type PrintedRecord,
  printResolution,
  type Resolution,
  type ResolveOptions,
  resolveOffline,
  searchNames,
} from "./handler/resolve-offline.ts";
export { type LoadedCorefile, loadCorefile } from "./server/corefile-file.ts";
export { type DnsServer, type DnsServerConfig, type DnsServerDeps, startDnsServer } from "./server/dns-server.ts";
export type { BoundSockets } from "./server/listeners.ts";
export { DnsZone, type DnsZoneConfig } from "./zone/dns-zone.ts";
export { printNameRecords } from "./zone/print-records.ts";
export type { NameEdit, NameRecords, RecordDelta, RecordSet } from "./zone/record-delta.ts";
export { reverseZones } from "./zone/reverse-zone.ts";
export { zoneKinds } from "./zone/zone-kinds.ts";
