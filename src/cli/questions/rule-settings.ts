import { type Ip, parseIp } from "../../base/ip.ts";
import type { Asked } from "../question.ts";

/** What the running cluster's daemons were told besides the objects. */
export function ruleSettings(asked: Asked): { readonly localDnsIps?: readonly Ip[]; readonly allowLoopback?: boolean } {
  const status = asked.cluster?.status;
  if (status === undefined) return {};
  return { localDnsIps: (status.dns?.addresses ?? []).flatMap((a) => parseIp(a) ?? []), allowLoopback: status.mode === "plain" };
}
