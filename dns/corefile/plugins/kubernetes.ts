import type { DomainName } from "../../wire/name.ts";
import type { Directive } from "../corefile.ts";
import { badValue, readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, type Fallthrough, readFallthrough, zonesOr } from "./block-context.ts";

/** The cluster's names. Where the API is and who asks it is the daemon's own configuration, not the Corefile's. */
export interface KubernetesConfig {
  readonly plugin: "kubernetes";
  readonly zones: readonly DomainName[];
  /** Empty: all. */
  readonly namespaces: readonly string[];
  /** Label selectors as kubectl takes them. */
  readonly labels?: string;
  readonly namespaceLabels?: string;
  readonly pods: "disabled" | "insecure" | "verified";
  readonly endpointPodNames: boolean;
  /** Seconds. */
  readonly ttl: number;
  readonly noEndpoints: boolean;
  readonly ignoreEmptyService: boolean;
  readonly multicluster: readonly DomainName[];
  readonly fallthrough?: Fallthrough;
}

export function readKubernetes(d: Directive, block: BlockContext): KubernetesConfig {
  const zones = zonesOr(wordsOf(d), block);
  const namespaces: string[] = [];
  let labels: string | undefined;
  let namespaceLabels: string | undefined;
  let pods: KubernetesConfig["pods"] = "disabled";
  let endpointPodNames = false;
  let ttl = 5;
  let noEndpoints = false;
  let ignoreEmptyService = false;
  const multicluster: DomainName[] = [];
  let fallthrough: Fallthrough | undefined;
  const elsewhere = (w: Words): void => void w.rest();
  readOptions(d, {
    namespaces: (w) => void namespaces.push(...w.rest()),
    labels: (w) => void (labels = w.some("a selector").join(" ")),
    namespace_labels: (w) => void (namespaceLabels = w.some("a selector").join(" ")),
    pods: (w) => void (pods = w.choice(["disabled", "insecure", "verified"])),
    endpoint_pod_names: () => void (endpointPodNames = true),
    ttl: (w) => void (ttl = w.integer("seconds", 0, 3600)),
    noendpoints: () => void (noEndpoints = true),
    ignore: (w) => {
      w.choice(["empty_service"]);
      ignoreEmptyService = true;
    },
    multicluster: (w) => void multicluster.push(...w.zones()),
    fallthrough: (w) => void (fallthrough = readFallthrough(w)),
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
  if (namespaces.length > 0 && namespaceLabels !== undefined) badValue(d, "kubernetes: give namespaces or namespace_labels, not both");
  if (zones.every((zone) => zone.endsWith("in-addr.arpa.") || zone.endsWith("ip6.arpa.")))
    badValue(d, "kubernetes: one zone that is no reverse zone is needed");
  return {
    plugin: "kubernetes",
    zones,
    namespaces,
    pods,
    endpointPodNames,
    ttl,
    noEndpoints,
    ignoreEmptyService,
    multicluster,
    ...(labels === undefined ? {} : { labels }),
    ...(namespaceLabels === undefined ? {} : { namespaceLabels }),
    ...(fallthrough === undefined ? {} : { fallthrough }),
  };
}

/** Addresses from outside the cluster under a zone of their own. */
export interface ExternalConfig {
  readonly plugin: "k8s_external";
  readonly zones: readonly DomainName[];
  /** The name of its server below each zone; default `dns`. */
  readonly apex: string;
  /** Seconds. */
  readonly ttl: number;
  readonly headless: boolean;
  readonly fallthrough?: Fallthrough;
}

export function readExternal(d: Directive, block: BlockContext): ExternalConfig {
  const zones = zonesOr(wordsOf(d), block);
  let apex = "dns";
  let ttl = 5;
  let headless = false;
  let fallthrough: Fallthrough | undefined;
  readOptions(d, {
    apex: (w) => void (apex = w.take("a label")),
    ttl: (w) => void (ttl = w.integer("seconds", 0, 3600)),
    headless: () => void (headless = true),
    fallthrough: (w) => void (fallthrough = readFallthrough(w)),
  });
  return { plugin: "k8s_external", zones, apex, ttl, headless, ...(fallthrough === undefined ? {} : { fallthrough }) };
}
