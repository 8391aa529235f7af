import type { DaemonConfig } from "../../../src/daemon/daemon-config.ts";

/** A daemon that was told nothing but where it is. */
export const plainConfig: DaemonConfig = {
  nodeName: "line",
  runDir: "/r",
  enable: ["proxy"],
  clusterDomain: "cluster.local",
  clusterDns: [],
  dnsPort: 53,
  clusterCidrs: [],
  serviceCidrs: [],
  nodeCidrs: [],
  ingress: [],
  ingressProcesses: 0,
  ingressStatus: [],
  observe: { ip: "127.0.0.1", port: 1 },
  backend: "auto",
  rules: {},
  plain: false,
  upstreams: { resolvConf: "/etc/resolv.conf" },
  logLevel: "info",
  logFormat: "text",
};
