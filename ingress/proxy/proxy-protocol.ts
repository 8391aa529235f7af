import { type Ip, ipBytes, ipFamily, ipFromBytes, parseIp } from "../../src/base/ip.ts";

/** Who speaks, and to whom, as the PROXY protocol has it (versions 1 and 2 of haproxy's specification). */
export interface ProxiedEnds {
  readonly source: { readonly ip: Ip; readonly port: number };
  readonly destination: { readonly ip: Ip; readonly port: number };
}

/** A header, and how many bytes it took; `ends` is absent where the proxy speaks for itself, or cannot say for whom. */
export interface ProxyHeader {
  readonly bytes: number;
  readonly ends: ProxiedEnds | undefined;
}

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** With the end of the line. */
const longestLine = 107;
/** Addresses of two UNIX sockets and room for what comes with them; more is no header that anyone sends. */
const longestBody = 4096;

/** Reads the first bytes of a connection: `more` while they may still become a header, `none` when they cannot. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | "more" | "none" {
  if (bytes.length === 0) return "more";
  const start = bytes.subarray(0, signature.length);
  if (start.equals(signature.subarray(0, start.length))) return start.length < signature.length ? "more" : parseVersion2(bytes);
  return parseVersion1(bytes);
}

/** What an endpoint hears before the client's own words. Ends of two families are both told as IPv6: neither version mixes them. */
export function printProxyHeader(version: 1 | 2, { source, destination }: ProxiedEnds): Buffer {
  const family = ipFamily(source.ip) === ipFamily(destination.ip) ? ipFamily(source.ip) : 6;
  const from = inFamily(source.ip, family);
  const to = inFamily(destination.ip, family);
  if (version === 1) return Buffer.from(`PROXY TCP${family} ${from} ${to} ${source.port} ${destination.port}\r\n`, "latin1");
  const addresses = [...ipBytes(from), ...ipBytes(to)];
  const body = Buffer.alloc(addresses.length + 4);
  body.set(addresses);
  body.writeUInt16BE(destination.port, body.writeUInt16BE(source.port, addresses.length));
  // version 2 and PROXY; AF_INET or AF_INET6, over TCP
  const head = [0x21, family === 4 ? 0x11 : 0x21, 0, body.length];
  return Buffer.concat([signature, Buffer.from(head), body]);
}

function parseVersion1(bytes: Buffer): ProxyHeader | "more" | "none" {
  const text = bytes.toString("latin1", 0, longestLine);
  if (!"PROXY ".startsWith(text.slice(0, 6))) return "none";
  const end = text.indexOf("\r\n");
  if (end < 0) return bytes.length >= longestLine ? "none" : "more";
  const line = text.slice(0, end);
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { bytes: end + 2, ends: undefined };
  const m = /^PROXY TCP([46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/.exec(line);
  if (m === null) return "none";
  const [source, destination] = [parseIp(m[2] ?? ""), parseIp(m[3] ?? "")];
  const [from, to] = [Number(m[4]), Number(m[5])];
  if (source === undefined || destination === undefined || from > 65_535 || to > 65_535) return "none";
  if (`${ipFamily(source)}` !== m[1] || `${ipFamily(destination)}` !== m[1]) return "none";
  const ends = { source: { ip: plain(source), port: from }, destination: { ip: plain(destination), port: to } };
  return { bytes: end + 2, ends };
}

function parseVersion2(bytes: Buffer): ProxyHeader | "more" | "none" {
  if (bytes.length < 16) return "more";
  const [command = 0, family = 0] = [bytes[12], bytes[13]];
  const length = bytes.readUInt16BE(14);
  if (command >> 4 !== 2 || (command & 15) > 1 || length > longestBody) return "none";
  if (bytes.length < 16 + length) return "more";
  const header = { bytes: 16 + length, ends: undefined };
  const size = addressBytes[family >> 4];
  // LOCAL, an address that is none of IP, or no stream
  if ((command & 15) === 0 || size === undefined || (family & 15) !== 1) return header;
  if (length < 2 * size + 4) return "none";
  const end = (at: number, port: number): ProxiedEnds["source"] => ({
    ip: ipOf(bytes.subarray(at, at + size)),
    port: bytes.readUInt16BE(port),
  });
  const ports = 16 + 2 * size;
  return { bytes: header.bytes, ends: { source: end(16, ports), destination: end(16 + size, ports + 2) } };
}

const addressBytes: Readonly<Record<number, number>> = { 1: 4, 2: 16 };

const mapped = Buffer.from("00000000000000000000ffff", "hex");

function inFamily(ip: Ip, family: 4 | 6): Ip {
  return ipFamily(ip) === family ? ip : ipFromBytes(Buffer.concat([mapped, ipBytes(ip)]));
}

function plain(ip: Ip): Ip {
  return ipFamily(ip) === 4 ? ip : ipOf(ipBytes(ip));
}

/** An IPv4 address inside of IPv6 is the IPv4 address it stands for. */
function ipOf(bytes: Uint8Array): Ip {
  return ipFromBytes(bytes.length === 16 && mapped.equals(bytes.subarray(0, 12)) ? bytes.subarray(12) : bytes);
}
