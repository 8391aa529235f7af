import { type Ip, parseIp } from "../../src/base/ip.ts";

/** What a resolv.conf says (resolv.conf(5)). */
export interface ResolvConf {
  readonly nameservers: readonly Ip[];
  readonly search: readonly string[];
  readonly ndots: number;
}

/** Never fails: a line that makes no sense is as if it were not there. The last `search` or `domain` wins. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: Ip[] = [];
  let search: readonly string[] = [];
  let ndots = 1;
  for (const line of text.split("\n")) {
    const [word, ...rest] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (word === "nameserver") {
      const ip = parseIp(rest[0] ?? "");
      if (ip !== undefined) nameservers.push(ip);
    } else if (word === "search" || word === "domain") search = rest;
    else if (word === "options") {
      for (const option of rest) {
        const match = /^ndots:([0-9]{1,2})$/.exec(option);
        if (match !== null) ndots = Math.min(15, Number(match[1]));
      }
    }
  }
  return { nameservers, search, ndots };
}
