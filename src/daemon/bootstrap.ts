import { randomBytes } from "node:crypto";
import type { Service } from "../api/types/core-v1.generated.ts";
import type { Client } from "../client/client.ts";
import { isAlreadyExists, isNotFound } from "../client/errors.ts";
import { resources } from "../client/resources.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { gossipSecretAt, gossipSecretKey } from "./ingress-gossip.ts";

export const ingressClassName = "fairway";
export const ingressController = "fairway/ingress";

export interface BootstrapConfig extends Pick<ClusterConfig, "clusterDns"> {
  /** What DNS follows, where that is a ConfigMap. */
  readonly corefile?: { readonly at: { readonly namespace: string; readonly name: string }; readonly text: string };
}

const clusterDnsAt = { namespace: "kube-system", name: "kube-dns" };

/**
 * Objects that every cluster of ours has: the cluster DNS Service, the default IngressClass and what ingress processes know each other by. Those there already stay as they are, but
 * for our own cluster DNS on another service range: its address cannot be changed, so it is made anew.
 */
export async function applyBootstrap(client: Client, config: BootstrapConfig): Promise<void> {
  const ingressClass = client.create(resources.ingressClasses, {
    metadata: { name: ingressClassName, annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
    spec: { controller: ingressController },
  });
  const gossipSecret = client.create(resources.secrets, {
    metadata: gossipSecretAt,
    type: "Opaque",
    data: { [gossipSecretKey]: randomBytes(32).toString("base64") },
  });
  const { at, text } = config.corefile ?? {};
  const corefile =
    at === undefined || text === undefined
      ? Promise.resolve()
      : client.create(resources.configMaps, { metadata: at, data: { Corefile: text } });
  const ensured = [ensureClusterDns(client, config.clusterDns), ingressClass, gossipSecret, corefile];
  for (const result of await Promise.allSettled(ensured)) {
    if (result.status === "rejected" && !isAlreadyExists(result.reason)) throw result.reason;
  }
}

async function ensureClusterDns(client: Client, addresses: ClusterConfig["clusterDns"]): Promise<void> {
  const wanted = clusterDnsService(addresses);
  try {
    await client.create(resources.services, wanted);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const there = await client.get(resources.services, clusterDnsAt);
    if (!isOurs(there) || there.spec?.clusterIPs?.join() === addresses.join()) return;
    await client.delete(resources.services, clusterDnsAt).catch((failure: unknown) => {
      if (!isNotFound(failure)) throw failure;
    });
    await client.create(resources.services, wanted);
  }
}

/** One with a selector leads to pods of somebody's own DNS. */
function isOurs(service: Service): boolean {
  return service.metadata?.labels?.["k8s-app"] === "kube-dns" && Object.keys(service.spec?.selector ?? {}).length === 0;
}

function clusterDnsService(addresses: ClusterConfig["clusterDns"]): Service {
  const [first] = addresses;
  return {
    metadata: { ...clusterDnsAt, labels: { "k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS" } },
    spec: {
      type: "ClusterIP",
      // No selector: every node answers at this address itself.
      ...(first === undefined ? {} : { clusterIP: first }),
      clusterIPs: addresses,
      ipFamilyPolicy: addresses.length > 1 ? "RequireDualStack" : "SingleStack",
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
      ],
    },
  };
}
