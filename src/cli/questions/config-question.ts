import type { Command } from "commander";
import {
  type ProxyMode,
  type RuleSettings,
  remarksOn,
  ruleSettingsOf,
  type ServingSettings,
  servingSettingsOf,
} from "../../../rules/config/settings.ts";
import { backendChoices, isBackendChoice } from "../../../rules/model/backend.ts";
import { type Cidr, printCidr } from "../../base/cidr.ts";
import { printHostPort } from "../../base/ip.ts";
import { checkedCorefile } from "../corefile-option.ts";
import { usageError } from "../errors.ts";
import { readOption } from "../file-options.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "../printers/document.ts";
import { printFields } from "../printers/table.ts";
import { commandIo } from "../program.ts";
import { backendOfConfig, readProxyConfig } from "../proxy-config.ts";

export function answerConfigCheck(
  file: string,
  options: { readonly output?: OutputFormat; readonly backend?: string },
  self: Command,
): void {
  if (isCorefile(readOption("config check", file))) {
    answerCorefileCheck(file, options, self);
    return;
  }
  const configuration = readProxyConfig("config check", file);
  const { backend: asked } = options;
  if (asked !== undefined && !isBackendChoice(asked)) throw usageError(`--backend ${asked}: there are ${backendChoices.join(", ")}`);
  const backend = asked ?? backendOfConfig("config check", file, configuration);
  const rules = ruleSettingsOf(configuration, backend);
  const serving = servingSettingsOf(configuration);
  const remarks = remarksOn(configuration, backend);
  const lines = settingLines(backend, rules, serving);
  commandIo(self).stdout(
    printAnswer(options.output, {
      data: { file, backend, settings: Object.fromEntries(lines), remarks },
      text: () => `${printFields(lines)}${remarks.map((r) => `note: ${r}\n`).join("")}`,
      names: () => [backend],
    }),
  );
}

/** The first line that says anything opens a block, or is about snippets and imports. */
function isCorefile(text: string): boolean {
  const first = text.split("\n").find((line) => /^\s*[^\s#]/.test(line)) ?? "";
  return /^(?!\w+:\s)[^\s{].*\s\{\s*(#.*)?$|^import\s/.test(first.trim());
}

function answerCorefileCheck(file: string, options: { readonly output?: OutputFormat }, self: Command): void {
  const { blocks } = checkedCorefile("config check", file).blocks;
  const read = blocks.map((b) => ({
    line: b.line,
    serves: b.keys.map((k) => `${k.scheme}://${k.zone}${k.port === undefined ? "" : `:${k.port}`}`),
    plugins: b.plugins.map((p) => p.plugin),
  }));
  commandIo(self).stdout(
    printAnswer(options.output, {
      data: { file, kind: "Corefile", blocks: read },
      text: () => read.map((b) => `${file}:${b.line}: ${b.serves.join(" ")}\n  ${b.plugins.join(" → ")}\n`).join(""),
      names: () => read.flatMap((b) => b.serves),
    }),
  );
}

function settingLines(backend: ProxyMode, r: RuleSettings, s: ServingSettings): readonly (readonly [string, string])[] {
  const { conntrack = {}, ipvs = {} } = r;
  const seconds = (n: number | undefined): string => (n === undefined ? "as the kernel has it" : `${n}s`);
  return [
    ["backend", backend],
    ["pods are known by", detector(r)],
    ["node ports answer on", nodePorts(backend, r)],
    ["masquerade", `bit ${r.masqueradeBit ?? 14}, ${r.masqueradeAll === true ? "all Service traffic" : "what needs it"}`],
    ["least time between changes", `${r.minIntervalMs ?? 0}ms`],
    ["kernel compared every", `${(r.syncIntervalMs ?? 60_000) / 1000}s`],
    ["healthz", printHostPort(s.healthz.ip, s.healthz.port)],
    ["metrics", printHostPort(s.metrics.ip, s.metrics.port)],
    ["kubeconfig", s.kubeconfig ?? "the service account's"],
    ["node", s.nodeName ?? "by --node-name, NODE_NAME or the host's name"],
    [
      "connection tracking",
      `${conntrack.maxPerCore ?? 0} entries a core, ${conntrack.min ?? 0} at least; TCP established ${seconds(conntrack.tcpEstablishedTimeoutSeconds)}, close-wait ${seconds(conntrack.tcpCloseWaitTimeoutSeconds)}`,
    ],
    ...(backend === "ipvs"
      ? [["ipvs", `scheduler ${ipvs.scheduler ?? "rr"}, strict ARP ${ipvs.strictArp === true ? "on" : "off"}`] as const]
      : []),
  ];
}

function detector({ localInterface, clusterCidrs }: RuleSettings): string {
  if (localInterface?.kind === "bridge") return `bridge ${localInterface.name}`;
  if (localInterface?.kind === "prefix") return `links that begin with ${localInterface.name}`;
  if (clusterCidrs === undefined) return "the node's pod ranges";
  return clusterCidrs.length === 0 ? "nothing" : ranges(clusterCidrs);
}

function nodePorts(backend: ProxyMode, { nodePortAddresses: where }: RuleSettings): string {
  const unset =
    backend === "auto" ? "primary in nftables, every local address elsewhere" : backend === "nftables" ? "primary" : "every local address";
  if (where === undefined) return unset;
  return where === "primary" ? "primary" : ranges(where);
}

function ranges(list: readonly Cidr[]): string {
  return list.map(printCidr).join(", ");
}
