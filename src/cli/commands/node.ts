import type { Command } from "commander";
import { address, integer } from "../../daemon/cluster-config.ts";
import { runRole } from "../../daemon/role.ts";
import { checkDataFolder, readOption } from "../file-options.ts";
import { commandLog } from "../global-options.ts";
import { checkedAccess, kubeconfigOption } from "../kubeconfig-option.ts";

interface NodeOptions {
  readonly kubeconfig: string;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly dataDir: string;
  readonly nodeApiPort: string;
  readonly tlsCertFile: string;
  readonly tlsPrivateKeyFile: string;
  readonly clientCaFile: string;
  readonly clusterDns: string;
  readonly clusterDomain: string;
  readonly images?: string;
  readonly agentPort: string;
}

export function register(program: Command): void {
  kubeconfigOption(program.command("node"))
    .summary("runs the pods of one node")
    .description("Runs the pods that are assigned to a node, in containers by crun, in this network namespace.")
    .requiredOption("--node-name <name>", "the node's name in the API")
    .requiredOption("--node-ip <ips>", "its addresses, comma-separated, IPv4 first")
    .requiredOption("--tls-cert-file <file>", "the certificate that its API (logs, exec) shows to the API server, PEM")
    .requiredOption("--tls-private-key-file <file>", "its key")
    .requiredOption("--client-ca-file <file>", "the authority of the API server's client certificate")
    .option("--data-dir <dir>", "where pods and their logs are kept", "/var/lib/fairway/node")
    .option("--node-api-port <port>", "the port of its API", "10250")
    .option("--cluster-dns <ips>", "where pods ask for names", "10.96.0.10")
    .option("--cluster-domain <domain>", "the zone of cluster names", "cluster.local")
    .option("--images <file>", "what container images stand for, YAML")
    .option("--agent-port <port>", "where the nodes' daemons say which endpoints they still use", "10249")
    .action(async (o: NodeOptions, command: Command) => {
      const { startNodeRole } = await import("../../daemon/node-role.ts");
      const log = commandLog(command, "node");
      await checkedAccess(o.kubeconfig);
      checkDataFolder("--data-dir", o.dataDir);
      if (o.images !== undefined) readOption("--images", o.images);
      const ips = (option: string, text: string): readonly string[] => text.split(",").map((ip) => address(option, ip));
      const node = startNodeRole(
        {
          nodeName: o.nodeName,
          nodeIps: ips("--node-ip", o.nodeIp),
          kubeconfig: o.kubeconfig,
          kubeletPort: integer("--node-api-port", o.nodeApiPort, 0, 65535),
          tls: {
            caPem: readOption("--client-ca-file", o.clientCaFile),
            certPem: readOption("--tls-cert-file", o.tlsCertFile),
            keyPem: readOption("--tls-private-key-file", o.tlsPrivateKeyFile),
          },
          dataDir: o.dataDir,
          clusterName: "fairway",
          clusterDns: ips("--cluster-dns", o.clusterDns),
          clusterDnsPort: 53,
          clusterDomain: o.clusterDomain,
          mode: "containers",
          hiddenPaths: [],
          agentPort: integer("--agent-port", o.agentPort, 1, 65535),
          ...(o.images === undefined ? {} : { images: o.images }),
        },
        log,
      );
      await runRole(log, () => node);
    });
}
