import { type Ip, parseIp } from "../../src/base/ip.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";

/** The address a whole reverse name stands for; undefined for all other names. */
export function addressOfReverse(name: DomainName): Ip | undefined {
  const four = /^((?:[0-9]{1,3}\.){4})in-addr\.arpa\.$/.exec(canonicalName(name));
  if (four !== null) return parseIp((four[1] ?? "").split(".").slice(0, 4).reverse().join("."));
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa\.$/.exec(canonicalName(name));
  if (six === null) return undefined;
  const nibbles = (six[1] ?? "").split(".").slice(0, 32).reverse().join("");
  return parseIp((nibbles.match(/.{4}/g) ?? []).join(":"));
}
