/** What is wrong with one field, and what it may be. */
export interface Fault {
  /** `iptables.masqueradeBit`; empty for the document itself. */
  readonly field: string;
  readonly message: string;
}

/** Reads one field. What it cannot take it tells as a fault, and gives the value of a field that is not there. */
export interface Field<T> {
  readonly absent: T;
  readonly read: (value: unknown, field: string, faults: Fault[]) => T;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
export type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

/** A field whose value is made of what `take` gives; undefined is not to be had of this value, which must be `wanted`. */
export function field<T>(absent: T, wanted: string, take: (value: unknown) => T | undefined): Field<T> {
  return {
    absent,
    read: (value, name, faults) => {
      const taken = take(value);
      if (taken !== undefined) return taken;
      faults.push({ field: name, message: `${shown(value)}: must be ${wanted}` });
      return absent;
    },
  };
}

/** A field that may be left out or null. */
export function optional<T>(inner: Field<T>): Field<T | undefined> {
  return { absent: undefined, read: inner.read };
}

/** An object of exactly these fields; null is the same as left out, as an API server writes it. */
export function record<F extends Fields>(fields: F): Field<Values<F>> {
  const absent = Object.fromEntries(Object.entries(fields).map(([name, f]) => [name, f.absent])) as Values<F>;
  return {
    absent,
    read: (value, name, faults) => {
      if (!isObject(value)) {
        faults.push({ field: name, message: `${shown(value)}: must be an object` });
        return absent;
      }
      const inside = (key: string): string => (name === "" ? key : `${name}.${key}`);
      for (const key of Object.keys(value)) {
        if (!Object.hasOwn(fields, key)) faults.push({ field: inside(key), message: `no such field${nearest(key, Object.keys(fields))}` });
      }
      return Object.fromEntries(
        Object.entries(fields).map(([key, f]) => {
          const given = Object.hasOwn(value, key) ? value[key] : undefined;
          return [key, given === undefined || given === null ? f.absent : f.read(given, inside(key), faults)];
        }),
      ) as Values<F>;
    },
  };
}

/** A list; `check` looks at the whole of it. */
export function list<T>(item: Field<T>): Field<readonly T[]> {
  return {
    absent: [],
    read: (value, name, faults) => {
      if (!Array.isArray(value)) {
        faults.push({ field: name, message: `${shown(value)}: must be a list` });
        return [];
      }
      return value.map((v, i) => item.read(v, `${name}[${i}]`, faults));
    },
  };
}

/** An object with keys of its own. */
export function mapOf<T>(item: Field<T>): Field<ReadonlyMap<string, T>> {
  const absent: ReadonlyMap<string, T> = new Map();
  return {
    absent,
    read: (value, name, faults) => {
      if (!isObject(value)) {
        faults.push({ field: name, message: `${shown(value)}: must be an object` });
        return absent;
      }
      return new Map(Object.entries(value).map(([key, v]) => [key, item.read(v, `${name}.${key}`, faults)]));
    },
  };
}

export const text: Field<string> = field("", "text", (v) => (typeof v === "string" ? v : undefined));
export const bool: Field<boolean> = field(false, "true or false", (v) => (typeof v === "boolean" ? v : undefined));
/** Whatever: read by somebody else, or by nobody. */
export const anything: Field<unknown> = { absent: undefined, read: (v) => v };

export function integer(min: number, max: number, what = `a whole number from ${min} to ${max}`): Field<number> {
  return field(0, what, (v) => (typeof v === "number" && Number.isInteger(v) && v >= min && v <= max ? v : undefined));
}

export const int32 = { min: -(2 ** 31), max: 2 ** 31 - 1 };

/** One of these words, the empty one among them where nothing need be said. */
export function choice<const T extends string>(words: readonly T[], absent: T): Field<T> {
  const named = words.filter((w) => w !== "");
  const wanted = named.length === 1 ? named.join() : `one of ${named.join(", ")}`;
  return field<T>(absent, words.includes("" as T) ? `${wanted}, or empty` : wanted, (v) => words.find((w) => w === v));
}

const units: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["μs", 1e-3],
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** Go's notation, `1h30m` or `250ms`, in milliseconds; never negative. */
export const duration: Field<number> = field(0, "a time such as 30s, 1h30m or 250ms, not below 0", (v) =>
  typeof v === "string" ? parseDuration(v) : undefined,
);

/** A time that is above 0 where it is said: 0 leaves it to the program. */
export function parseDuration(given: string): number | undefined {
  if (/^\+?0$/.test(given)) return 0;
  const parts = /^\+?((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(given)
    ? [...given.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)]
    : [];
  if (parts.length === 0) return undefined;
  return parts.reduce((sum, [, n = "", unit = ""]) => sum + Number(n) * (units.get(unit) ?? 0), 0);
}

/** As Go prints a duration, near enough to be read back as the same. */
export function printDuration(ms: number): string {
  if (ms !== 0 && ms < 1000) return `${ms}ms`;
  const seconds = ms / 1000;
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  return `${h === 0 ? "" : `${h}h`}${h + m === 0 ? "" : `${m}m`}${s}s`;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value as it was written, cut where it is long. */
export function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return json.length <= 80 ? json : `${json.slice(0, 77)}...`;
}

/** A field that was perhaps meant: the same but for case, or one letter more, less or other. */
function nearest(key: string, names: readonly string[]): string {
  const lower = key.toLowerCase();
  const found = names.find((n) => n.toLowerCase() === lower) ?? names.find((n) => distance(n.toLowerCase(), lower) <= 2);
  return found === undefined ? `; there are ${names.join(", ")}` : `; ${found} is meant?`;
}

function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
