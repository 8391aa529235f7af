import { parseLabelSelector, type Selector } from "../../../src/api/selector.ts";
import type { ExternalNamesConfig, KubernetesConfig } from "../../config/zone-config.ts";
import { isReverseZone } from "../../config/zone-config.ts";
import type { DomainName } from "../../wire/name.ts";
import type { Directive } from "../corefile.ts";
import { badValue, readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, zonesOr } from "./block-context.ts";

/** The cluster's names. Where the API is and who asks it is the daemon's own configuration, not the Corefile's. */
export interface KubernetesPlugin {
  readonly plugin: "kubernetes";
  readonly names: KubernetesConfig & { readonly zones: readonly DomainName[] };
  /** Zones of others, of which known names are answered and all others left to the chain. Not in CoreDNS. */
  readonly passing: readonly DomainName[];
}

export function readKubernetes(d: Directive, block: BlockContext): KubernetesPlugin {
  const zones = zonesOr(wordsOf(d), block);
  let names: KubernetesPlugin["names"] = { zones, pods: "disabled" };
  const namespaces: string[] = [];
  const passing: DomainName[] = [];
  const elsewhere = (w: Words): void => void w.rest();
  readOptions(d, {
    namespaces: (w) => void namespaces.push(...w.rest()),
    labels: (w) => void (names = { ...names, labels: selectorOf(w) }),
    namespace_labels: (w) => void (names = { ...names, namespaceLabels: selectorOf(w) }),
    pods: (w) => void (names = { ...names, pods: w.choice(["disabled", "insecure", "verified"]) }),
    endpoint_pod_names: () => void (names = { ...names, endpointPodNames: true }),
    ttl: (w) => void (names = { ...names, ttl: w.integer("seconds", 0, 3600) }),
    noendpoints: () => void (names = { ...names, noEndpoints: true }),
    ignore: (w) => {
      w.choice(["empty_service"]);
      names = { ...names, ignoreEmptyServices: true };
    },
    fallthrough: (w) => void (names = { ...names, fallthrough: w.left === 0 ? ["."] : w.zones() }),
    multicluster: (w) => void (names = { ...names, multicluster: servedZonesOf(w, zones) }),
    zonal: () => void (names = { ...names, zonalNames: true }),
    passing: (w) => void passing.push(...w.zones()),
    // the daemon's kubeconfig says where the API is
    endpoint: elsewhere,
    tls: elsewhere,
    kubeconfig: elsewhere,
    apiserver_qps: elsewhere,
    apiserver_burst: elsewhere,
    apiserver_max_inflight: elsewhere,
    startup_timeout: elsewhere,
    upstream: elsewhere,
  });
  if (namespaces.length > 0 && names.namespaceLabels !== undefined)
    badValue(d, "kubernetes: give namespaces or namespace_labels, not both");
  if (names.zonalNames === true && names.noEndpoints === true)
    badValue(d, "kubernetes: zonal names are names of endpoints, and noendpoints says that there are none; leave one out");
  if (zones.every(isReverseZone)) badValue(d, "kubernetes: one zone that is no reverse zone is needed");
  return {
    plugin: "kubernetes",
    passing,
    names: { ...names, ...(namespaces.length === 0 ? {} : { namespaces }) },
  };
}

/** Zones of ServiceImports are this plugin's own. */
function servedZonesOf(w: Words, zones: readonly DomainName[]): readonly DomainName[] {
  const given = w.left === 0 ? w.fail("a zone is missing, as in clusterset.local") : w.zones();
  const foreign = given.find((zone) => !zones.includes(zone) || isReverseZone(zone));
  return foreign === undefined ? given : w.fail(`${foreign} is none of the plugin's forward zones: ${zones.join(" ")}`);
}

function selectorOf(w: Words): Selector {
  const text = w.some("a selector").join(" ");
  try {
    return parseLabelSelector(text);
  } catch (error) {
    return w.fail(`${text}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Addresses from outside the cluster under a zone of their own. */
export interface ExternalPlugin {
  readonly plugin: "k8s_external";
  readonly names: ExternalNamesConfig;
}

export function readExternal(d: Directive, block: BlockContext): ExternalPlugin {
  let names: ExternalNamesConfig = { zones: zonesOr(wordsOf(d), block) };
  readOptions(d, {
    apex: (w) => void (names = { ...names, apex: w.take("a label") }),
    ttl: (w) => void (names = { ...names, ttl: w.integer("seconds", 0, 3600) }),
    headless: () => void (names = { ...names, headless: true }),
    fallthrough: (w) => void (names = { ...names, fallthrough: w.left === 0 ? ["."] : w.zones() }),
  });
  return { plugin: "k8s_external", names };
}
