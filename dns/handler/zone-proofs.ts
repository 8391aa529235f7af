import { type DomainName, nameLabels } from "../wire/name.ts";
import { type ResourceRecord, typeOf } from "../wire/record.ts";
import { typeNumbers } from "../wire/record-type.ts";

/** The signatures among a name's records that are of one type. */
export function signaturesOf(own: readonly ResourceRecord[], type: number): readonly ResourceRecord[] {
  return own.filter(({ data }) => data.kind === "other" && data.type === typeNumbers.RRSIG && coveredType(data.hex) === type);
}

/** The type that a signature is of is its first field (RFC 4034 section 3.1). */
function coveredType(hex: string): number {
  return Number.parseInt(hex.slice(0, 4), 16);
}

/** NSEC records of a zone in the order of its names: which of them says that a name does not exist (RFC 4034 section 6.1). */
export class DenialProofs {
  readonly #owners: readonly { readonly labels: readonly string[]; readonly records: readonly ResourceRecord[] }[];

  constructor(names: ReadonlyMap<DomainName, readonly ResourceRecord[]>) {
    this.#owners = Array.from(names, ([name, own]) => ({ labels: orderedLabels(name), records: proofOf(own) }))
      .filter(({ records }) => records.length > 0)
      .sort((a, b) => compareLabels(a.labels, b.labels));
  }

  /** Of the last name before `name`, or of its own; empty in a zone without any. */
  covering(name: DomainName): readonly ResourceRecord[] {
    const labels = orderedLabels(name);
    let low = 0;
    let high = this.#owners.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareLabels(this.#owners[middle]?.labels ?? [], labels) <= 0) low = middle + 1;
      else high = middle;
    }
    return this.#owners[low - 1]?.records ?? [];
  }
}

/** A name's NSEC record, with its signatures. */
export function proofOf(own: readonly ResourceRecord[]): readonly ResourceRecord[] {
  const nsec = own.filter((r) => typeOf(r.data) === typeNumbers.NSEC);
  return nsec.length === 0 ? [] : [...nsec, ...signaturesOf(own, typeNumbers.NSEC)];
}

function orderedLabels(name: DomainName): readonly string[] {
  return nameLabels(name).toReversed();
}

/** By octets of the label, the last one first; a parent comes before its children. */
function compareLabels(a: readonly string[], b: readonly string[]): number {
  for (const [i, label] of a.entries()) {
    const other = b[i];
    if (other === undefined) return 1;
    const order = Buffer.compare(octetsOf(label), octetsOf(other));
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function octetsOf(label: string): Buffer {
  return Buffer.from(
    label.replace(/\\([0-9]{3}|.)/g, (_, e: string) => (e.length === 3 ? String.fromCharCode(Number(e) & 255) : e)),
    "latin1",
  );
}
