import type { Command } from "commander";
import { resolveOffline, zoneKinds } from "../../../dns/index.ts";
import { type Ip, ipBytes, parseIp } from "../../base/ip.ts";
import type { ResolveCommandOptions } from "../commands/resolve.ts";
import { checkedCorefile } from "../corefile-option.ts";
import { usageError } from "../errors.ts";
import { printResolve } from "../printers/resolve.ts";
import { commandIo } from "../program.ts";
import { askObjects, failIf, splitPaths } from "../question.ts";

/** Any octets may stand in a label; what is typed here is printable, 1 to 63 a label, 253 in all (RFC 1035 section 2.3.4). */
const recordName = /^(?=.{1,254}$)(\.|[!-\-/-~]{1,63}(\.[!-\-/-~]{1,63})*\.?)$/;

export async function answerResolve(words: readonly string[], options: ResolveCommandOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const { paths, words: own } = splitPaths(options, words, 1);
  const [asGiven = "", givenType, ...rest] = own;
  const ip = parseIp(asGiven);
  // An address asks for its name, as with dig -x.
  const name = ip === undefined ? asGiven : reverseName(ip);
  const type = givenType ?? (ip === undefined ? "A" : "PTR");
  if (rest.length > 0) throw usageError(`resolve ${own.join(" ")}: give one name and one type, and files with --objects`);
  if (!recordName.test(name)) throw usageError(`resolve ${name}: not a domain name`);
  const { from } = options;
  if (from !== undefined && parseIp(from) === undefined && !/^[^/]+\/[^/]+$/.test(from)) {
    throw usageError(`--from ${from}: give NAMESPACE/POD or an IP address`);
  }
  const corefile = options.corefile === undefined ? undefined : checkedCorefile("--corefile", options.corefile);
  // whose namespace the search begins in, a Pod tells
  const kinds = [...new Set([...zoneKinds(corefile?.blocks.zones), ...(from === undefined ? [] : ["Pod" as const])])];
  if (corefile !== undefined && options.clusterDomain !== undefined)
    throw usageError("--cluster-domain: the Corefile says which zones there are");
  const asked = await askObjects(options, paths, kinds, io);
  const clusterDomain = options.clusterDomain ?? asked.cluster?.status?.clusterDomain;
  const resolution = await resolveOffline(asked.snapshot, name, type, {
    ...(from === undefined ? {} : { from }),
    search: options.search === true,
    ...(clusterDomain === undefined ? {} : { clusterDomain }),
    ...(corefile === undefined ? {} : { blocks: corefile.blocks }),
  }).catch((e: unknown) => {
    throw e instanceof RangeError ? usageError(`resolve ${own.join(" ")}: ${e.message}`) : e;
  });
  io.stdout(printResolve(options.output, resolution));
  failIf(options, resolution.rcode !== "NOERROR", `${name} is answered ${resolution.rcode}`);
}

/** `5.0.96.10.in-addr.arpa.`, or a nibble a label below ip6.arpa (RFC 3596). */
function reverseName(ip: Ip): string {
  const bytes = Array.from(ipBytes(ip));
  if (bytes.length === 4) return `${bytes.reverse().join(".")}.in-addr.arpa.`;
  const nibbles = bytes.flatMap((b) => [b >> 4, b & 15]).reverse();
  return `${nibbles.map((n) => n.toString(16)).join(".")}.ip6.arpa.`;
}
