import { type Ip, parseIp } from "../../src/base/ip.ts";

/** The label of an endpoint below its Service: its hostname, else its address with dashes. */
export function endpointLabel(hostname: string | undefined, ip: Ip): string {
  if (hostname !== undefined && hostname !== "") return hostname.toLowerCase();
  if (ip.includes(".")) return ip.replaceAll(".", "-");
  const dashed = ip.replaceAll(":", "-");
  // a label may not end in a dash (RFC 1123): fd00:: is fd00--0
  return dashed.endsWith("-") ? `${dashed}0` : dashed;
}

/** The address a dashed label spells, as pods' names do it; undefined when it spells none. */
export function addressOfLabel(label: string): Ip | undefined {
  if (/^[0-9]+-[0-9]+-[0-9]+-[0-9]+$/.test(label)) {
    const ip = parseIp(label.replaceAll("-", "."));
    if (ip !== undefined) return ip;
  }
  return /^[0-9a-fA-F-]+$/.test(label) ? parseIp(label.replaceAll("-", ":")) : undefined;
}
