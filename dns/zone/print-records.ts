import { typeOf } from "../wire/record.ts";
import { printType } from "../wire/record-type.ts";
import { printRecordData } from "../wire/zone-file.ts";
import type { NameRecords } from "./record-delta.ts";

/** `A 10.96.0.1`, `SRV 0 100 80 web.shop.svc.cluster.local.`: what a name has, one record a text, in the order of its answer. */
export function printNameRecords({ sets }: NameRecords): readonly string[] {
  return sets.flatMap((set) => set.data.map((data) => `${printType(typeOf(data))} ${printRecordData(data)}`));
}
