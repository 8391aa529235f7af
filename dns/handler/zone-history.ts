import { canonicalName, type DomainName } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { printRecord } from "../wire/zone-file.ts";
import { ChangeJournal, type ZoneChange } from "../zone/change-journal.ts";
import type { ZoneData } from "./zone-data.ts";

/** What changed in zones of files and of other servers, for those who keep copies of them. */
export class ZoneHistory {
  readonly #journals = new Map<DomainName, ChangeJournal<ResourceRecord>>();

  /** A zone that was not there before, or was not known, has no history yet. */
  changed(before: ZoneData | undefined, now: ZoneData): void {
    const journal = this.#journals.get(now.origin) ?? new ChangeJournal(keyOf);
    this.#journals.set(now.origin, journal);
    if (before === undefined) journal.clear();
    else journal.add(before.serial, now.serial, changeOf(before.records, now.records));
  }

  /** All changes from a serial number until now, both SOAs among them; undefined when they are not known. */
  since(zone: DomainName, serial: number): ZoneChange<ResourceRecord> | undefined {
    return this.#journals.get(zone)?.since(serial);
  }
}

function changeOf(before: readonly ResourceRecord[], now: readonly ResourceRecord[]): ZoneChange<ResourceRecord> {
  // records that an incremental transfer left alone are the same objects
  const kept = new Set(before);
  const added = now.filter((r) => !kept.delete(r));
  const removed = new Map(Array.from(kept, (r) => [keyOf(r), r]));
  const news = added.filter((r) => !removed.delete(keyOf(r)));
  return { removed: Array.from(removed.values()), added: news };
}

function keyOf(record: ResourceRecord): string {
  return printRecord({ ...record, name: canonicalName(record.name) });
}
