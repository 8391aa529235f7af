import { canonicalName, type DomainName, isInZone, nameLabels } from "../wire/name.ts";
import { type ResourceRecord, typeOf } from "../wire/record.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";
import { DenialProofs, proofOf, signaturesOf } from "./zone-proofs.ts";

/** What a zone says to a question. */
export interface ZoneAnswer {
  readonly kind: "answer" | "referral" | "no-data" | "no-name";
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
  /** An alias that leads out of the zone. */
  readonly alias?: DomainName;
}

/** A question on its way through a zone. */
interface Look {
  readonly type: number;
  /** Signatures and proofs are wanted (RFC 4035 section 3.1). */
  readonly dnssec: boolean;
  /** What aliases gave so far. */
  readonly before: readonly ResourceRecord[];
  readonly aliases: number;
  /** Proofs that belong to `before`. */
  readonly proofs: readonly ResourceRecord[];
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
  #proofs: DenialProofs | undefined;

  /** Throws a RangeError for records without exactly one SOA at the zone's own name, and for a zone whose denials are hashed. */
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
    if (records.some(({ data }) => typeOf(data) === typeNumbers.NSEC3 || typeOf(data) === typeNumbers.NSEC3PARAM))
      throw new RangeError(`zone ${this.origin} is signed with NSEC3, which is not served here; sign it with NSEC`);
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

  /** `name` canonical and in the zone. With `dnssec`, signatures and proofs come along where the zone has them. */
  find(name: DomainName, type: number, dnssec = false): ZoneAnswer {
    return this.#find(name, { type, dnssec, before: [], aliases: 0, proofs: [] });
  }

  #find(name: DomainName, look: Look): ZoneAnswer {
    const above = this.#cutAbove(name, look.type);
    if (above !== undefined) return this.#beyond(name, above, look);
    const own = this.#names.get(name);
    if (own !== undefined) return this.#answer(own, proofOf(own), look);
    if (this.#empty.has(name)) return this.#answer([], this.#denial(name, look), look);
    const closest = this.#closest(name);
    const wild = this.#names.get(childOf(closest, "*"));
    const denied = this.#denial(name, look);
    if (wild === undefined) return this.#negative("no-name", mergeProofs(denied, this.#denial(childOf(closest, "*"), look)), look);
    // that the name itself does not exist is part of what a wildcard says (RFC 4035 section 3.1.3.3)
    return this.#answer(
      wild.map((r) => ({ ...r, name })),
      proofOf(wild),
      { ...look, proofs: mergeProofs(look.proofs, denied) },
    );
  }

  /** What a cut or a DNAME above the name says of it. */
  #beyond(name: DomainName, above: readonly ResourceRecord[], look: Look): ZoneAnswer {
    const [first] = above;
    if (first?.data.kind === "DNAME") {
      const target = name.slice(0, name.length - canonicalName(first.name).length) + canonicalName(first.data.target);
      const alias: ResourceRecord = { name, class: classIn, ttl: first.ttl, data: { kind: "CNAME", target } };
      return this.#follow(alias, [], { ...look, before: [...look.before, ...this.#withSignatures([first], look)] });
    }
    const cut = this.#names.get(canonicalName(first?.name ?? name)) ?? [];
    const ds = cut.filter((r) => typeOf(r.data) === typeNumbers.DS);
    // that the zone below is not signed has a proof too (RFC 4035 section 3.1.4)
    const security = !look.dnssec ? [] : ds.length > 0 ? [...ds, ...signaturesOf(cut, typeNumbers.DS)] : proofOf(cut);
    return { kind: "referral", answers: look.before, authority: [...above, ...security], additional: this.#addressesOf(above, false) };
  }

  /** `proof` says which types there are. */
  #answer(own: readonly ResourceRecord[], proof: readonly ResourceRecord[], look: Look): ZoneAnswer {
    const { type, before, dnssec, proofs } = look;
    const cname = own.find((r) => r.data.kind === "CNAME");
    if (cname !== undefined && type !== typeNumbers.CNAME && type !== typeNumbers.ANY && type !== typeNumbers.NSEC)
      return this.#follow(cname, dnssec ? signaturesOf(own, typeNumbers.CNAME) : [], look);
    const found = own.filter((r) => typeOf(r.data) === type || type === typeNumbers.ANY);
    if (found.length === 0) return this.#negative("no-data", dnssec ? proof : [], look);
    const signatures = dnssec && type !== typeNumbers.ANY ? signaturesOf(own, type) : [];
    return {
      kind: "answer",
      answers: [...before, ...found, ...signatures],
      authority: proofs,
      additional: this.#addressesOf(found, dnssec),
    };
  }

  #follow(cname: ResourceRecord, signatures: readonly ResourceRecord[], look: Look): ZoneAnswer {
    const answers = [...look.before, cname, ...signatures];
    const target = cname.data.kind === "CNAME" ? canonicalName(cname.data.target) : "";
    if (!isInZone(target, this.origin) || look.aliases >= maxAliases)
      return { kind: "answer", answers, authority: look.proofs, additional: [], alias: target };
    return this.#find(target, { ...look, before: answers, aliases: look.aliases + 1 });
  }

  #negative(kind: "no-data" | "no-name", proofs: readonly ResourceRecord[], look: Look): ZoneAnswer {
    const authority = [...this.#negativeSoa(look.dnssec), ...mergeProofs(look.proofs, proofs)];
    return { kind, answers: look.before, authority, additional: [] };
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

  /** The closest name above that exists: a wildcard is looked for below it only (RFC 4592 section 2.2.1). */
  #closest(name: DomainName): DomainName {
    let at = parentOf(name);
    while (at !== this.origin && at !== "." && !this.#names.has(at) && !this.#empty.has(at)) at = parentOf(at);
    return at;
  }

  #addressesOf(records: readonly ResourceRecord[], dnssec: boolean): readonly ResourceRecord[] {
    return records.flatMap(({ data }) => {
      const target = data.kind === "MX" ? data.exchange : data.kind === "NS" || data.kind === "SRV" ? data.target : undefined;
      const own = target === undefined ? [] : (this.#names.get(canonicalName(target)) ?? []);
      const addresses = own.filter((r) => r.data.kind === "A" || r.data.kind === "AAAA");
      return dnssec ? this.#withSignatures(addresses, { dnssec }) : addresses;
    });
  }

  /** Records of one name, each type with its signatures. */
  #withSignatures(records: readonly ResourceRecord[], { dnssec }: Pick<Look, "dnssec">): readonly ResourceRecord[] {
    const [first] = records;
    if (first === undefined || !dnssec) return records;
    const own = this.#names.get(canonicalName(first.name)) ?? [];
    const types = new Set(records.map((r) => typeOf(r.data)));
    return [...records, ...Array.from(types).flatMap((type) => signaturesOf(own, type))];
  }

  /** The proof that a name does not exist, where it is wanted. */
  #denial(name: DomainName, { dnssec }: Look): readonly ResourceRecord[] {
    if (!dnssec) return [];
    this.#proofs ??= new DenialProofs(this.#names);
    return this.#proofs.covering(name);
  }

  /** Denials are known no longer than its minimum (RFC 2308 section 3). */
  #negativeSoa(dnssec: boolean): readonly ResourceRecord[] {
    const { soa } = this;
    const ttl = soa.data.kind === "SOA" ? Math.min(soa.ttl, soa.data.minimum) : soa.ttl;
    return this.#withSignatures([soa], { dnssec }).map((r) => ({ ...r, ttl }));
  }
}

function mergeProofs(a: readonly ResourceRecord[], b: readonly ResourceRecord[]): readonly ResourceRecord[] {
  return a.length === 0 ? b : [...a, ...b.filter((r) => !a.includes(r))];
}

function childOf(name: DomainName, label: string): DomainName {
  return name === "." ? `${label}.` : `${label}.${name}`;
}

function parentOf(name: DomainName): DomainName {
  const [first = ""] = nameLabels(name);
  return name.slice(first.length + 1) || ".";
}
