import type { ProxyConfiguration } from "../../../rules/config/proxy-configuration.ts";
import { ruleSettingsOf } from "../../../rules/config/settings.ts";
import type { Backend, RuleOptions } from "../../../rules/index.ts";
import { parseIp } from "../../base/ip.ts";
import { readProxyConfig } from "../proxy-config.ts";
import type { Asked } from "../question.ts";

/** The KubeProxyConfiguration that was named, else the one that the running cluster was started with. */
export function configOf(asked: Pick<Asked, "cluster">, file: string | undefined): ProxyConfiguration | undefined {
  const used = file ?? asked.cluster?.status?.config;
  return used === undefined ? undefined : readProxyConfig("--config", used);
}

/** What decides a node's rules besides the objects: what the running cluster's daemons were told, and the configuration. */
export function ruleSettings(asked: Asked, configured?: ProxyConfiguration, backend: Backend = "nftables"): Omit<RuleOptions, "nodeName"> {
  const status = asked.cluster?.status;
  const settings = configured === undefined ? {} : ruleSettingsOf(configured, backend, { ownCluster: status !== undefined });
  if (status === undefined) return settings;
  return {
    ...settings,
    localDnsIps: (status.dns?.addresses ?? []).flatMap((a) => parseIp(a) ?? []),
    allowLoopback: status.mode === "plain",
  };
}
