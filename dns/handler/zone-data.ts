import { canonicalName, type DomainName, isInZone, nameLabels } from "../wire/name.ts";
import { type ResourceRecord, typeOf } from "../wire/record.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";

/** What a zone says to a question. */
export interface ZoneAnswer {
  readonly kind: "answer" | "referral" | "no-data" | "no-name";
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
  /** An alias that leads out of the zone. */
  readonly alias?: DomainName;
}

const maxAliases = 8;

/** The records of one zone, by name; immutable. */
export class ZoneData {
  readonly origin: DomainName;
  readonly soa: ResourceRecord;
  /** As they came. */
  readonly records: readonly ResourceRecord[];
  readonly #names = new Map<DomainName, ResourceRecord[]>();
  /** Names that only have names below them. */
  readonly #empty = new Set<DomainName>();

  /** Throws a RangeError for records without exactly one SOA at the zone's own name. */
  constructor(origin: DomainName, records: readonly ResourceRecord[]) {
    this.origin = canonicalName(origin);
    this.records = records;
    for (const r of records) {
      const name = canonicalName(r.name);
      const known = this.#names.get(name);
      if (known === undefined) this.#names.set(name, [r]);
      else known.push(r);
    }
    const soas = (this.#names.get(this.origin) ?? []).filter((r) => r.data.kind === "SOA");
    const [soa, another] = soas;
    if (soa === undefined || another !== undefined)
      throw new RangeError(`zone ${this.origin} has ${soas.length} SOA records, where one is needed`);
    this.soa = soa;
    for (const name of this.#names.keys()) {
      for (
        let parent = parentOf(name);
        isInZone(parent, this.origin) && parent !== this.origin && !this.#names.has(parent);
        parent = parentOf(parent)
      ) {
        this.#empty.add(parent);
      }
    }
  }

  get serial(): number {
    return this.soa.data.kind === "SOA" ? this.soa.data.serial : 0;
  }

  /** `name` canonical and in the zone. */
  find(name: DomainName, type: number): ZoneAnswer {
    return this.#find(name, type, [], 0);
  }

  #find(name: DomainName, type: number, before: readonly ResourceRecord[], aliases: number): ZoneAnswer {
    const above = this.#cutAbove(name, type);
    if (above !== undefined) {
      const [first] = above;
      if (first?.data.kind === "DNAME") {
        const target = name.slice(0, name.length - canonicalName(first.name).length) + canonicalName(first.data.target);
        const alias: ResourceRecord = { name, class: classIn, ttl: first.ttl, data: { kind: "CNAME", target } };
        return this.#follow(alias, type, [...before, first], aliases);
      }
      return { kind: "referral", answers: before, authority: above, additional: this.#addressesOf(above) };
    }
    const own = this.#names.get(name);
    if (own === undefined && !this.#empty.has(name)) {
      const wild = this.#wildcard(name);
      if (wild !== undefined)
        return this.#answer(
          wild.map((r) => ({ ...r, name })),
          type,
          before,
          aliases,
        );
      return { kind: "no-name", answers: before, authority: [this.#negativeSoa()], additional: [] };
    }
    return this.#answer(own ?? [], type, before, aliases);
  }

  #answer(own: readonly ResourceRecord[], type: number, before: readonly ResourceRecord[], aliases: number): ZoneAnswer {
    const cname = own.find((r) => r.data.kind === "CNAME");
    if (cname !== undefined && type !== typeNumbers.CNAME && type !== typeNumbers.ANY) return this.#follow(cname, type, before, aliases);
    const found = own.filter((r) => typeOf(r.data) === type || type === typeNumbers.ANY);
    if (found.length === 0) return { kind: "no-data", answers: before, authority: [this.#negativeSoa()], additional: [] };
    return { kind: "answer", answers: [...before, ...found], authority: [], additional: this.#addressesOf(found) };
  }

  #follow(cname: ResourceRecord, type: number, before: readonly ResourceRecord[], aliases: number): ZoneAnswer {
    const answers = [...before, cname];
    const target = cname.data.kind === "CNAME" ? canonicalName(cname.data.target) : "";
    if (!isInZone(target, this.origin) || aliases >= maxAliases)
      return { kind: "answer", answers, authority: [], additional: [], alias: target };
    return this.#find(target, type, answers, aliases + 1);
  }

  /** NS or DNAME records between the zone's own name and `name`; the DS record of a cut is above it (RFC 4035 section 3.1.4.1). */
  #cutAbove(name: DomainName, type: number): readonly ResourceRecord[] | undefined {
    const below = nameLabels(name).length - nameLabels(this.origin).length;
    const chain: DomainName[] = [];
    for (let i = 0, at = name; i < below; i++, at = parentOf(at)) chain.unshift(at);
    for (const at of chain) {
      const own = this.#names.get(at);
      const isItself = at === name;
      const ns = own?.filter((r) => r.data.kind === "NS") ?? [];
      if (ns.length > 0 && !(isItself && type === typeNumbers.DS)) return ns;
      const dname = own?.find((r) => r.data.kind === "DNAME");
      if (dname !== undefined && !isItself) return [dname];
    }
    const apex = this.#names.get(this.origin)?.find((r) => r.data.kind === "DNAME");
    return apex !== undefined && name !== this.origin ? [apex] : undefined;
  }

  /** Of the closest name that exists (RFC 4592). */
  #wildcard(name: DomainName): readonly ResourceRecord[] | undefined {
    for (let at = parentOf(name); isInZone(at, this.origin); at = parentOf(at)) {
      const wild = this.#names.get(at === "." ? "*." : `*.${at}`);
      if (wild !== undefined) return wild;
      if (this.#names.has(at) || this.#empty.has(at) || at === ".") return undefined;
    }
    return undefined;
  }

  #addressesOf(records: readonly ResourceRecord[]): readonly ResourceRecord[] {
    return records.flatMap(({ data }) => {
      const target = data.kind === "MX" ? data.exchange : data.kind === "NS" || data.kind === "SRV" ? data.target : undefined;
      const own = target === undefined ? [] : (this.#names.get(canonicalName(target)) ?? []);
      return own.filter((r) => r.data.kind === "A" || r.data.kind === "AAAA");
    });
  }

  /** Denials are known no longer than its minimum (RFC 2308 section 3). */
  #negativeSoa(): ResourceRecord {
    const { soa } = this;
    return soa.data.kind === "SOA" ? { ...soa, ttl: Math.min(soa.ttl, soa.data.minimum) } : soa;
  }
}

function parentOf(name: DomainName): DomainName {
  const [first = ""] = nameLabels(name);
  return name.slice(first.length + 1) || ".";
}
