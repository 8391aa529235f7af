import type { DomainName } from "../wire/name.ts";
import type { RecordData, ResourceRecord } from "../wire/record.ts";

/** The records of one name and one type, with what an answer adds to them. Plain data: it crosses process borders as JSON. */
export interface RecordSet {
  /** All of one kind, at least one. */
  readonly data: readonly RecordData[];
  /** Seconds; the zone's own when absent. */
  readonly ttl?: number;
  /** Addresses of the targets of SRV and NS records. */
  readonly additional?: readonly ResourceRecord[];
}

/** All that one name has. */
export interface NameRecords {
  /** None: the name exists without records (no data, not NXDOMAIN). */
  readonly sets: readonly RecordSet[];
  /** Names `a-b-c-d` one label below this one have the address they spell. */
  readonly podAddresses?: true;
}

/** A name that is there now, with all it has. */
export interface NameUpsert {
  /** Canonical: lower case, last dot. */
  readonly key: DomainName;
  readonly records: NameRecords;
}

/** Changes of a zone's names. A name is replaced as a whole. */
export interface RecordDelta {
  /** Grows with each delta; its low 32 bits are the zones' serial number. */
  readonly revision: number;
  /** All names of all zones: what is not in `upserts` is gone. */
  readonly full?: true;
  readonly upserts: readonly NameUpsert[];
  readonly deletes: readonly DomainName[];
}
