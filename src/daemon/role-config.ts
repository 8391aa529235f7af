import type { Ip } from "../base/ip.ts";

/** What `up` starts the API server with; the sockets are inherited. */
export interface ApiServerRoleConfig {
  readonly dataDir: string;
  readonly bind: readonly Ip[];
  readonly port: number;
  readonly advertise: readonly Ip[];
  readonly serviceCidrs: readonly string[];
  readonly clusterDomain: string;
  /** Plain mode: the part of 127.0.0.0/8 that pods and Services live in. */
  readonly loopback?: string;
  readonly clientCaFile?: string;
  readonly tokenAuthFile?: string;
  readonly tlsCertFile?: string;
  readonly tlsPrivateKeyFile?: string;
}

export interface ControllersRoleConfig {
  readonly kubeconfig: string;
  readonly clusterCidrs: readonly string[];
  readonly lbPool: readonly string[];
  readonly rootCaPem: string;
}

export interface SchedulerRoleConfig {
  readonly kubeconfig: string;
}

export interface NodeRoleConfig {
  readonly nodeName: string;
  readonly nodeIps: readonly Ip[];
  readonly kubeconfig: string;
  readonly kubeletPort: number;
  /** The node API's own certificate, and who may call it. */
  readonly tls: { readonly caPem: string; readonly certPem: string; readonly keyPem: string };
  readonly dataDir: string;
  readonly clusterName: string;
  readonly clusterDns: readonly Ip[];
  readonly clusterDnsPort: number;
  readonly clusterDomain: string;
  readonly mode: "containers" | "processes";
  /** Where each node's agent says whether an endpoint is still in its tables. */
  readonly agentPort: number;
  readonly images?: string;
  /** Folders that no container may see: the checkout may stand in one of them, keys certainly do. */
  readonly hiddenPaths: readonly string[];
}
