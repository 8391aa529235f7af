import type { Client } from "../client/client.ts";
import { isAlreadyExists } from "../client/errors.ts";
import { resources } from "../client/resources.ts";
import type { ClusterConfig } from "./cluster-config.ts";

export const ingressClassName = "fairway";
export const ingressController = "fairway/ingress";

/** Objects that every cluster of ours has: the cluster DNS Service and the default IngressClass. Those there already stay as they are. */
export async function applyBootstrap(client: Client, config: ClusterConfig): Promise<void> {
  const first = config.clusterDns[0];
  const dns = client.create(resources.services, {
    metadata: { name: "kube-dns", namespace: "kube-system", labels: { "k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS" } },
    spec: {
      type: "ClusterIP",
      // No selector: every node answers at this address itself.
      ...(first === undefined ? {} : { clusterIP: first }),
      clusterIPs: config.clusterDns,
      ipFamilyPolicy: config.clusterDns.length > 1 ? "RequireDualStack" : "SingleStack",
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
      ],
    },
  });
  const ingressClass = client.create(resources.ingressClasses, {
    metadata: { name: ingressClassName, annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
    spec: { controller: ingressController },
  });
  for (const result of await Promise.allSettled([dns, ingressClass])) {
    if (result.status === "rejected" && !isAlreadyExists(result.reason)) throw result.reason;
  }
}
