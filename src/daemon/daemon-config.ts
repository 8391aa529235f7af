import type { IngressScope } from "../../ingress/index.ts";
import type { HostPort } from "../../rules/config/proxy-configuration.ts";
import type { RuleSettings } from "../../rules/config/settings.ts";
import type { BackendChoice, IptablesFlavour } from "../../rules/model/backend.ts";
import type { Ip } from "../base/ip.ts";

export type Part = "proxy" | "dns" | "ingress";
export const parts: readonly Part[] = ["proxy", "dns", "ingress"];

/** As ingress-nginx's worker-shutdown-timeout. */
export const defaultDrainSeconds = 240;

/** What one node's daemon runs with; plain data, since the supervisor hands it to its children. */
export interface DaemonConfig {
  readonly nodeName: string;
  /** Absent: the service account of the pod it runs in. */
  readonly kubeconfig?: string;
  /** Sockets and checkpoints of this node's processes; 0700. */
  readonly runDir: string;
  readonly enable: readonly Part[];
  readonly clusterDomain: string;
  /** Where cluster DNS answers on this node; empty: the addresses of Service kube-system/kube-dns, once they are known. */
  readonly clusterDns: readonly Ip[];
  readonly dnsPort: number;
  /** Ranges whose clients may ask for names outside the cluster, and whose addresses have reverse zones. */
  readonly clusterCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  readonly nodeCidrs: readonly string[];
  readonly ingress: readonly { readonly ip: Ip; readonly http: number; readonly https: number }[];
  /** 0: one a core, 8 at most: two generations of them find each other at the 16 ports of count-gossip.ts. */
  readonly ingressProcesses: number;
  /** How long a DNS process waits for its records before it answers without; absent: 3 s, and a successor longer. Milliseconds. */
  readonly dnsPatienceMs?: number;
  /** How long connections go on in an ingress process that an upgrade has replaced; absent: defaultDrainSeconds. */
  readonly ingressDrainSeconds?: number;
  /** Absent: the fast one where it works. */
  readonly ingressTransport?: "portable";
  /** One line a request, among the log of the daemon; absent: none. */
  readonly ingressAccessLog?: "json" | "nginx";
  /** Whose Ingresses are served, and where settings are; absent parts as ingress-nginx has them. */
  readonly ingressScope?: Partial<IngressScope>;
  /** Addresses written to the status of Ingresses of our class. */
  readonly ingressStatus: readonly Ip[];
  /** Where metrics, health, problems and history are served; the nodes of `up` ask each other there. */
  readonly observe: HostPort;
  /** Where else the same is served: kube-proxy's metrics address, where `observe` is not that. */
  readonly metrics?: HostPort;
  readonly backend: BackendChoice;
  /** Which make of iptables, where that is the backend; absent: found out. */
  readonly iptables?: IptablesFlavour;
  /** What a KubeProxyConfiguration says about the rules; empty without one. */
  readonly rules: RuleSettings;
  /** Where kube-proxy's health server answers, for load balancers; nowhere when absent. */
  readonly healthz?: HostPort;
  /** An address of `healthz`, `observe` or `metrics` that cannot be had ends the agent, instead of being tried again. */
  readonly hardFail?: boolean;
  /** Whether `observe` serves profiles of this process. */
  readonly profiling?: boolean;
  readonly oomScoreAdj?: number;
  /** Read at the start and whenever it changes. */
  readonly proxyConfig?: ProxyConfigSource;
  /** Services and pods live in 127.64.0.0/10. */
  readonly plain: boolean;
  /** A Corefile, in place of zones, upstreams and ranges. */
  readonly corefile?: string;
  /** Where it is in the API, in place of a file; followed. */
  readonly corefileConfigMap?: { readonly namespace: string; readonly name: string };
  /** Addresses, link-local by custom, at which this node alone answers DNS beside the cluster's; on lo, and not tracked. */
  readonly nodeLocalDns?: readonly Ip[];
  /** DNS with a `lameduck` leaves when no other node's does, or after a while; absent: at once. */
  readonly leavesInTurn?: true;
  /** Who is asked for names outside the cluster. */
  readonly upstreams: readonly { readonly ip: Ip; readonly port: number }[] | { readonly resolvConf: string };
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logFormat: "text" | "json";
}

/** A file with a KubeProxyConfiguration. */
export interface ProxyConfigSource {
  readonly file: string;
  /** What the command line says itself, which goes before the file; `cluster`: the cluster is one of `fairway up`. */
  readonly told: readonly ("backend" | "nodeName" | "healthz" | "observe" | "logLevel" | "logFormat" | "cluster")[];
}
