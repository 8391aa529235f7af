import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { componentsGroup, ensurePki, mastersGroup, type Pki, printKubeconfig } from "../apiserver/pki.ts";
import { cidrAt } from "../base/cidr.ts";
import { type Ip, printHostPort } from "../base/ip.ts";
import { writePrivateFile } from "../kernel/private-file.ts";
import type { ClusterConfig } from "./cluster-config.ts";

/** Who is who in a cluster that `up` makes: the certificate authority, and a kubeconfig (0600) for each component. */
export interface ClusterIdentity {
  readonly pki: Pki;
  /** The URL of the API at one of this machine's addresses. */
  server(ip: Ip): string;
  /** Writes `run/NAME.kubeconfig` for the component `fairway:NAME`; answers its path. */
  component(name: string, ip: Ip): Promise<string>;
}

export async function makeIdentity(config: ClusterConfig, apiPort: number, gateways: readonly Ip[]): Promise<ClusterIdentity> {
  const runDir = join(config.dataDir, "run");
  for (const dir of [config.dataDir, runDir]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    chmodSync(dir, 0o700);
  }
  const short = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
  const pki = await ensurePki(config.dataDir, {
    dnsNames: ["localhost", ...short, `kubernetes.default.svc.${config.clusterDomain}`],
    ips: [config.api.address, "127.0.0.1", ...gateways, ...config.serviceCidrs.map((c) => cidrAt(c, 1))],
  });
  const server = (ip: Ip): string => `https://${printHostPort(ip, apiPort)}`;
  const write = async (file: string, user: string, groups: readonly string[], ip: Ip): Promise<string> => {
    const { certPem, keyPem } = await pki.issueClientCert(user, groups);
    const text = printKubeconfig({ server: server(ip), caPem: pki.caPem, certPem, keyPem, contextName: config.name });
    writePrivateFile(file, text, { evenIfFull: true });
    return file;
  };
  await write(config.kubeconfig, "admin", [mastersGroup], config.api.address);
  return { pki, server, component: (name, ip) => write(join(runDir, `${name}.kubeconfig`), `fairway:${name}`, [componentsGroup], ip) };
}
