import type { DomainName } from "../wire/name.ts";
import type { RecordData } from "../wire/record.ts";

/** The records of one name and one type. Plain data: it crosses process borders as JSON. */
export interface RecordSet {
  /** All of one kind, at least one. */
  readonly data: readonly RecordData[];
  /** Seconds; the zone's own when absent. */
  readonly ttl?: number;
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

/**
 * Records of one kind that came and went. The order of a set's records means nothing, so an edit says which, not where: what is
 * there already is not added, what is not there not removed, and edits that are told twice do no harm.
 */
export interface SetEdit {
  /** Seconds; the zone's own when absent. */
  readonly ttl?: number;
  readonly removes: readonly RecordData[];
  readonly adds: readonly RecordData[];
}

/** A name of many records of which a few changed. It has the same kinds of records before and after. */
export interface NameEdit {
  readonly key: DomainName;
  readonly sets: readonly SetEdit[];
}

/** Changes of a zone's names; each name is told once, as a whole, or what it has more and less. */
export interface RecordDelta {
  /** Grows with each delta; its low 32 bits are the zones' serial number. */
  readonly revision: number;
  /** All names of all zones: what is not in `upserts` is gone. */
  readonly full?: true;
  readonly upserts: readonly NameUpsert[];
  /** Default none. */
  readonly edits?: readonly NameEdit[];
  readonly deletes: readonly DomainName[];
}
