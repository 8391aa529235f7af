import type { Ip } from "../../src/base/ip.ts";
import type { DomainName } from "./name.ts";
import { typeNumbers } from "./record-type.ts";

/** One record's data. Text strings are bytes as Latin-1 text (each code unit is one byte); `other` is any type without a codec here. */
export type RecordData =
  | { readonly kind: "A" | "AAAA"; readonly ip: Ip }
  | { readonly kind: "NS" | "CNAME" | "PTR" | "DNAME"; readonly target: DomainName }
  | {
      readonly kind: "SOA";
      readonly primary: DomainName;
      readonly mailbox: DomainName;
      readonly serial: number;
      readonly refresh: number;
      readonly retry: number;
      readonly expire: number;
      readonly minimum: number;
    }
  | { readonly kind: "MX"; readonly preference: number; readonly exchange: DomainName }
  | { readonly kind: "TXT" | "SPF"; readonly texts: readonly string[] }
  | { readonly kind: "HINFO"; readonly cpu: string; readonly os: string }
  | { readonly kind: "SRV"; readonly priority: number; readonly weight: number; readonly port: number; readonly target: DomainName }
  | {
      readonly kind: "NAPTR";
      readonly order: number;
      readonly preference: number;
      readonly flags: string;
      readonly services: string;
      readonly regexp: string;
      readonly replacement: DomainName;
    }
  | { readonly kind: "CAA"; readonly flags: number; readonly tag: string; readonly value: string }
  | { readonly kind: "URI"; readonly priority: number; readonly weight: number; readonly target: string }
  | { readonly kind: "SVCB" | "HTTPS"; readonly priority: number; readonly target: DomainName; readonly params: readonly SvcParam[] }
  | { readonly kind: "other"; readonly type: number; readonly hex: string };

/** A service parameter by its number, value as hexadecimal (RFC 9460). */
export interface SvcParam {
  readonly key: number;
  readonly hex: string;
}

export interface ResourceRecord {
  readonly name: DomainName;
  /** 1 = IN. */
  readonly class: number;
  /** Seconds. */
  readonly ttl: number;
  readonly data: RecordData;
}

export function typeOf(data: RecordData): number {
  return data.kind === "other" ? data.type : typeNumbers[data.kind];
}
