import type { ContainerPort, Pod } from "./types/core-v1.generated.ts";

/** A port of the node that a pod takes. */
export interface HostPort {
  /** `0.0.0.0` stands for all addresses. */
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** The host's ports a pod takes; on the host's network every container port is one. */
export function hostPortsOf(pod: Pod): readonly HostPort[] {
  const own = pod.spec?.hostNetwork === true;
  const found: HostPort[] = [];
  const take = (p: ContainerPort): void => {
    const port = p.hostPort ?? (own ? p.containerPort : 0);
    if (port > 0) found.push({ ip: p.hostIP === undefined || p.hostIP === "" ? "0.0.0.0" : p.hostIP, protocol: p.protocol ?? "TCP", port });
  };
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  for (const c of [...(pod.spec?.containers ?? []), ...sidecars]) for (const p of c.ports ?? []) take(p);
  return found;
}

export function portsClash(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0");
}
