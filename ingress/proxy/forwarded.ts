import { parseIp } from "../../src/base/ip.ts";
import { isInside } from "../filter/address-list.ts";
import type { HeaderField } from "../route/filter.ts";
import type { ProxySettings } from "../route/proxy-settings.ts";
import { headerValue } from "../route/request-head.ts";
import { inOnePiece } from "../upstream/wire/latin1.ts";

/** Who the client is, after what trusted proxies in front of us say. */
export interface ClientIdentity {
  readonly ip: string;
  readonly secure: boolean;
  /** Host and port the client asked for. */
  readonly host: string;
  readonly port: number;
  readonly forwardedFor: string;
}

export interface ConnectionFacts {
  readonly remoteIp: string;
  readonly localPort: number;
  readonly tls: boolean;
  readonly authority: string;
}

/** Whose word counts, and which. */
export interface ForwardedTrust {
  readonly trustedProxies: readonly string[];
  readonly table: { readonly settings: Pick<ProxySettings, "forwardedForHeader" | "wholeForwardedFor"> };
}

/** X-Forwarded-* count only from trusted proxies; of X-Forwarded-For the last address that is none of theirs is the client. */
export function clientIdentity(c: ConnectionFacts, headers: readonly string[], trust: ForwardedTrust): ClientIdentity {
  const { trustedProxies } = trust;
  const own = { ip: c.remoteIp, secure: c.tls, host: c.authority, port: c.localPort, forwardedFor: c.remoteIp };
  if (trustedProxies.length === 0 || !isInside(trustedProxies, c.remoteIp)) return own;
  const { forwardedForHeader, wholeForwardedFor } = trust.table.settings;
  const told = headerValue(headers, forwardedForHeader ?? "x-forwarded-for") ?? "";
  const chain = told.split(",").map((t) => t.trim());
  let ip = c.remoteIp;
  for (const hop of chain.reverse()) {
    const address = parseIp(hop);
    if (address === undefined) break;
    ip = address;
    if (!isInside(trustedProxies, address)) break;
  }
  const proto = headerValue(headers, "x-forwarded-proto")?.split(",")[0]?.trim().toLowerCase();
  const port = Number(headerValue(headers, "x-forwarded-port"));
  return {
    ip,
    secure: proto === undefined ? own.secure : proto === "https",
    host: headerValue(headers, "x-forwarded-host")?.split(",")[0]?.trim() || own.host,
    port: Number.isInteger(port) && port > 0 && port < 65536 ? port : own.port,
    forwardedFor: wholeForwardedFor === true && told !== "" ? `${told}, ${c.remoteIp}` : ip,
  };
}

/** What upstreams are told of the client: ingress-nginx's names. What the client itself sent under these names is replaced. */
export function forwardingHeaders(client: ClientIdentity, requestId: string): readonly HeaderField[] {
  const scheme = client.secure ? "https" : "http";
  return [
    { name: "X-Request-ID", value: requestId },
    { name: "X-Real-IP", value: client.ip },
    { name: "X-Forwarded-For", value: client.forwardedFor },
    { name: "X-Forwarded-Host", value: client.host },
    { name: "X-Forwarded-Port", value: String(client.port) },
    { name: "X-Forwarded-Proto", value: scheme },
    { name: "X-Forwarded-Scheme", value: scheme },
    { name: "X-Scheme", value: scheme },
  ];
}

/** The same, as lines of a head; headers without a value are left out. */
export function printForwarding(client: ClientIdentity, requestId: string): string {
  const lines = clientLines(client);
  return requestId === "" ? lines : `X-Request-ID: ${requestId}\r\n${lines}`;
}

/** Lines written before, one client a place: a client asks more than once. One that falls on a taken place takes it over. */
const written: ({ readonly client: ClientIdentity; readonly lines: string } | undefined)[] = new Array(256).fill(undefined);
const mostKept = 1024;

function clientLines(client: ClientIdentity): string {
  const { ip, host } = client;
  const place = (ip.length * 37 + ip.charCodeAt(ip.length - 1) * 11 + ip.charCodeAt(ip.length - 2) * 5 + host.length + client.port) & 255;
  const seen = written[place];
  if (seen !== undefined && isSameClient(seen.client, client)) return seen.lines;
  const lines = printClient(client);
  if (lines.length > mostKept) return lines;
  // a copy in one piece: the parts would keep the heads they were cut from, and be put together for every request
  const own = inOnePiece(lines);
  const [ownIp = "", ownHost = "", ownFor = ""] = [ip, host, client.forwardedFor].map(inOnePiece);
  written[place] = { client: { ...client, ip: ownIp, host: ownHost, forwardedFor: ownFor }, lines: own };
  return own;
}

function isSameClient(a: ClientIdentity, b: ClientIdentity): boolean {
  return a.port === b.port && a.secure === b.secure && a.ip === b.ip && a.host === b.host && a.forwardedFor === b.forwardedFor;
}

function printClient(client: ClientIdentity): string {
  const scheme = client.secure ? "https" : "http";
  let text = "";
  if (client.ip !== "") text += `X-Real-IP: ${client.ip}\r\n`;
  if (client.forwardedFor !== "") text += `X-Forwarded-For: ${client.forwardedFor}\r\n`;
  if (client.host !== "") text += `X-Forwarded-Host: ${client.host}\r\n`;
  return `${text}X-Forwarded-Port: ${client.port}\r\nX-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Scheme: ${scheme}\r\nX-Scheme: ${scheme}\r\n`;
}

/** Headers that forwardingHeaders writes, or that no upstream may get from a client. */
export const replacedHeaders: ReadonlySet<string> = new Set([
  "x-request-id",
  "x-real-ip",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-forwarded-scheme",
  "x-scheme",
  "x-original-forwarded-for",
  "forwarded",
  "proxy", // CVE-2016-5385, httpoxy
]);
