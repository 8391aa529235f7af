import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { type HostPort, type ProxyConfiguration, printFault } from "../../rules/config/proxy-configuration.ts";
import { kubeProxyOomScore, modeOf, remarksOn, ruleSettingsOf, servingSettingsOf } from "../../rules/config/settings.ts";
import { parseProxyConfigurationText } from "../../rules/config/text.ts";
import { backendChoices, isBackendChoice } from "../../rules/model/backend.ts";
import { ipFamily, printHostPort } from "../base/ip.ts";
import type { DaemonConfig, ProxyConfigSource } from "./daemon-config.ts";

/** The configuration file of a running daemon cannot be used. */
export class ConfigFileError extends Error {
  readonly code = "Input";
}

export interface Configured {
  readonly config: DaemonConfig;
  readonly remarks: readonly string[];
}

/** What the daemon runs with, the file of `proxyConfig` read; as it is where there is none. Throws ConfigFileError. */
export function readConfigured(base: DaemonConfig): Configured {
  const { proxyConfig } = base;
  if (proxyConfig === undefined) return { config: base, remarks: [] };
  let text: string;
  try {
    text = readFileSync(proxyConfig.file, "utf8");
  } catch (error) {
    throw new ConfigFileError(`--config ${proxyConfig.file}: ${(error as Error).message}`);
  }
  return configured(base, proxyConfig, text);
}

/** The same of text that has been read. What the command line tells goes before what the file says. */
export function configured(base: DaemonConfig, { file, told }: ProxyConfigSource, text: string): Configured {
  const { configuration, faults } = parseProxyConfigurationText(text);
  if (faults.length > 0) throw new ConfigFileError(`--config ${file}: ${faults.map(printFault).join("; ")}`);
  const mode: string = modeOf(configuration);
  const backend = told.includes("backend") ? base.backend : mode;
  if (!isBackendChoice(backend)) throw new ConfigFileError(`--config ${file}: mode: ${mode}: there are ${backendChoices.join(", ")} here`);
  const serving = servingSettingsOf(configuration);
  return {
    config: {
      ...base,
      backend,
      rules: ruleSettingsOf(configuration, backend, { ownCluster: told.includes("cluster") }),
      // in plain mode this machine's addresses are not the cluster's: it is served at the node's
      ...(base.plain || told.includes("healthz") ? {} : { healthz: serving.healthz }),
      hardFail: serving.hardFail,
      profiling: serving.profiling,
      ...observedAt(base, told, serving.metrics),
      ...(told.includes("nodeName") || serving.nodeName === undefined ? {} : { nodeName: serving.nodeName }),
      ...(base.kubeconfig !== undefined || serving.kubeconfig === undefined ? {} : { kubeconfig: serving.kubeconfig }),
      ...oomScore(base, told, serving.oomScoreAdj),
      ...(told.includes("logLevel") || serving.logLevel === undefined ? {} : { logLevel: serving.logLevel }),
      ...(told.includes("logFormat") || serving.logFormat === undefined ? {} : { logFormat: serving.logFormat }),
    },
    remarks: [...remarksOn(configuration, backend), ...plainRemarks(base, configuration)],
  };
}

/** kube-proxy's own default is for what runs in its place alone: an ingress that grows should not outlive everybody else. */
function oomScore({ enable }: DaemonConfig, told: ProxyConfigSource["told"], said: number | undefined): Pick<DaemonConfig, "oomScoreAdj"> {
  if (said !== undefined) return { oomScoreAdj: said };
  const inItsPlace = enable.every((part) => part === "proxy") && !told.includes("cluster");
  return inItsPlace ? { oomScoreAdj: kubeProxyOomScore } : {};
}

/** Where the command line says nothing, as the file says; nodes of `up` are asked where they are, and answer there too. */
function observedAt(base: DaemonConfig, told: ProxyConfigSource["told"], metrics: HostPort): Pick<DaemonConfig, "observe" | "metrics"> {
  const { observe } = base;
  if (!told.includes("observe")) return { observe: metrics };
  if (base.plain || !told.includes("cluster")) return { observe };
  const everywhere = metrics.ip === "0.0.0.0" || metrics.ip === "::";
  return everywhere && metrics.port === observe.port && ipFamily(metrics.ip) === ipFamily(observe.ip)
    ? { observe: metrics }
    : { observe, metrics };
}

function plainRemarks({ plain, healthz, observe }: DaemonConfig, c: ProxyConfiguration): readonly string[] {
  if (!plain) return [];
  const at = (h: HostPort): string => printHostPort(h.ip, h.port);
  return [
    ...(c.healthzBindAddress === undefined || healthz === undefined ? [] : [`healthzBindAddress: in plain mode served at ${at(healthz)}`]),
    ...(c.metricsBindAddress === undefined ? [] : [`metricsBindAddress: in plain mode served at ${at(observe)}`]),
  ];
}

/** How often the file is looked at: a ConfigMap's volume changes by a link, which no notification of the file tells. Milliseconds. */
const lookEvery = 2000;

/** Calls back when the file was written. Returns how to stop. */
export function watchConfigFile(file: string, onChange: () => void): () => void {
  const listener = (now: { readonly mtimeMs: number; readonly size: number; readonly ino: number }, before: typeof now): void => {
    if (now.mtimeMs !== before.mtimeMs || now.size !== before.size || now.ino !== before.ino) onChange();
  };
  watchFile(file, { persistent: false, interval: lookEvery }, listener);
  return () => unwatchFile(file, listener);
}
