/** Numbers of record types (IANA DNS parameters), by the name zone files use. */
export const typeNumbers = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  RP: 17,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
  CDS: 59,
  CDNSKEY: 60,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
  URI: 256,
  CAA: 257,
} as const;
export type TypeName = keyof typeof typeNumbers;

const namesByNumber = new Map<number, string>(Object.entries(typeNumbers).map(([name, number]) => [number, name]));

/** `A`, or `TYPE1234` for a number without a name (RFC 3597). */
export function printType(type: number): string {
  return namesByNumber.get(type) ?? `TYPE${type}`;
}

/** In any case; undefined for what is neither a known name nor `TYPEn`. */
export function parseType(text: string): number | undefined {
  const upper = text.toUpperCase();
  if (Object.hasOwn(typeNumbers, upper)) return typeNumbers[upper as TypeName];
  const match = /^TYPE([0-9]{1,5})$/.exec(upper);
  const number = match === null ? undefined : Number(match[1]);
  return number === undefined || number > 0xffff ? undefined : number;
}

export const classIn = 1;
export const classChaos = 3;
export const classAny = 255;

const classNames = new Map<number, string>([
  [1, "IN"],
  [3, "CH"],
  [4, "HS"],
  [254, "NONE"],
  [255, "ANY"],
]);

export function printClass(number: number): string {
  return classNames.get(number) ?? `CLASS${number}`;
}

export function parseClass(text: string): number | undefined {
  const upper = text.toUpperCase();
  for (const [number, name] of classNames) if (name === upper) return number;
  const match = /^CLASS([0-9]{1,5})$/.exec(upper);
  const number = match === null ? undefined : Number(match[1]);
  return number === undefined || number > 0xffff ? undefined : number;
}

/** Of a message that says that a zone has changed (RFC 1996). */
export const opcodeNotify = 4;

/** Response codes by number (RFC 1035, 2136, 6891). */
export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADVERS: 16,
  BADCOOKIE: 23,
} as const;
export type RcodeName = keyof typeof rcodes;

const rcodeNames = new Map<number, string>(Object.entries(rcodes).map(([name, number]) => [number, name]));

export function printRcode(rcode: number): string {
  return rcodeNames.get(rcode) ?? `RCODE${rcode}`;
}

/** In any case; undefined for what is no name of a code. */
export function parseRcode(text: string): number | undefined {
  const upper = text.toUpperCase();
  return Object.hasOwn(rcodes, upper) ? rcodes[upper as RcodeName] : undefined;
}
