/** An IP address as canonical text: dotted quad, or RFC 5952 (lower case, longest zero run shortened). */
export type Ip = string & { readonly __ip?: never };
export type IpFamily = 4 | 6;

/** `undefined` for anything but a plain address: no zone, no port, no brackets, no leading zeros in IPv4 (CVE-2021-29923). */
export function parseIp(text: string | undefined): Ip | undefined {
  if (text === undefined) return undefined;
  // a dotted quad without leading zeros is canonical as it stands
  if (!text.includes(":")) return ipv4Number(text) === undefined ? undefined : text;
  const bytes = parseIpv6(text);
  return bytes === undefined ? undefined : ipFromBytes(bytes);
}

export function ipFamily(ip: Ip): IpFamily {
  return ip.includes(":") ? 6 : 4;
}

/** Network byte order, 4 or 16 bytes. Throws on text that is no address; pass only what `parseIp` gave. */
export function ipBytes(ip: Ip): Uint8Array {
  const bytes = ip.includes(":") ? parseIpv6(ip) : parseIpv4(ip);
  if (bytes === undefined) throw new Error(`not an IP address: ${ip}`);
  return bytes;
}

/** `bytes` has 4 or 16 bytes, network order. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  let best = -1;
  let bestLength = 1; // RFC 5952 section 4.2.2: one group of zeros is not shortened
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLength) {
      best = i;
      bestLength = j - i;
    }
    i = Math.max(i, j);
  }
  const hex = (part: readonly number[]): string => part.map((g) => g.toString(16)).join(":");
  if (best < 0) return hex(groups);
  return `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`;
}

/** IPv4 before IPv6, then by number. */
export function compareIp(a: Ip, b: Ip): number {
  if (!a.includes(":") && !b.includes(":")) return (ipv4Number(a) ?? 0) - (ipv4Number(b) ?? 0);
  const x = ipBytes(a);
  const y = ipBytes(b);
  if (x.length !== y.length) return x.length - y.length;
  for (let i = 0; i < x.length; i++) {
    const d = (x[i] ?? 0) - (y[i] ?? 0);
    if (d !== 0) return d;
  }
  return 0;
}

/** Whether it is a port that packets can carry; an API that checks nothing may hold any number. */
export function isPort(port: number | undefined): port is number {
  return port !== undefined && Number.isInteger(port) && port >= 1 && port <= 65535;
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function printHostPort(ip: Ip, port: number): string {
  return ipFamily(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export function ipToBigInt(ip: Ip): bigint {
  let n = 0n;
  for (const byte of ipBytes(ip)) n = (n << 8n) | BigInt(byte);
  return n;
}

/** Throws a RangeError when `n` does not fit the family. */
export function ipFromBigInt(n: bigint, family: IpFamily): Ip {
  const length = family === 4 ? 4 : 16;
  if (n < 0n || n >> BigInt(length * 8) !== 0n) throw new RangeError(`no IPv${family} address: ${n}`);
  const bytes = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = Number(n & 255n);
    n >>= 8n;
  }
  return ipFromBytes(bytes);
}

/** A dotted quad as a number, undefined for other text; makes nothing, because endpoints are parsed and sorted by the ten thousand. */
export function ipv4Number(text: string): number | undefined {
  let total = 0;
  let part = -1;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = i === text.length ? 46 : text.charCodeAt(i);
    if (c === 46) {
      if (digits === 0 || part > 255) return undefined;
      total = total * 256 + part;
      part = -1;
      digits = 0;
      dots++;
    } else {
      if (c < 48 || c > 57 || digits === 3 || (digits > 0 && part === 0)) return undefined;
      part = (digits === 0 ? 0 : part * 10) + c - 48;
      digits++;
    }
  }
  return dots === 4 ? total : undefined;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const n = ipv4Number(text);
  return n === undefined ? undefined : Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = ipv6Groups(halves[0] ?? "");
  const tail = halves.length === 2 ? ipv6Groups(halves[1] ?? "") : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const bytes = new Uint8Array(16);
  groups.forEach((g, i) => {
    bytes[2 * i] = g >> 8;
    bytes[2 * i + 1] = g & 255;
  });
  return bytes;
}

function ipv6Groups(text: string): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (part.includes(".")) {
      const quad = i === parts.length - 1 ? parseIpv4(part) : undefined;
      if (quad === undefined) return undefined;
      groups.push(((quad[0] ?? 0) << 8) | (quad[1] ?? 0), ((quad[2] ?? 0) << 8) | (quad[3] ?? 0));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}
