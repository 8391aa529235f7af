import { join } from "node:path";
import type { Command } from "commander";
import { printCidr } from "../../base/cidr.ts";
import { address, cidrList, integer } from "../../daemon/cluster-config.ts";
import { runRole } from "../../daemon/role.ts";
import { usageError } from "../errors.ts";
import { checkDataFolder, checkWritable, readOption } from "../file-options.ts";
import { commandLog } from "../global-options.ts";

export function register(program: Command): void {
  program
    .command("apiserver")
    .summary("the Kubernetes API on an embedded store")
    .description("Serves the Kubernetes API over TLS on an embedded store; /readyz answers ok only when namespace `default` exists.")
    .requiredOption("--data-dir <dir>", "where objects and certificates are kept")
    .option("--bind-address <ips>", "where it listens, comma-separated", "127.0.0.1")
    .option("--secure-port <port>", "its port, 0 = any free one", "6443")
    .option("--advertise-address <ips>", "what Service default/kubernetes leads to (default: the first bind address)")
    .option("--kubeconfig-out <file>", "where an admin kubeconfig is written (default DIR/kubeconfig)")
    .option("--service-cluster-ip-range <cidrs>", "the Services' range", "10.96.0.0/16")
    .option("--cluster-domain <domain>", "the zone of cluster names", "cluster.local")
    .option("--client-ca-file <file>", "certificate authorities whose clients are known too")
    .option("--token-auth-file <file>", 'static tokens: token,user,uid,"group1,group2"')
    .option("--tls-cert-file <file>", "the serving certificate, PEM (default: signed by its own CA)")
    .option("--tls-private-key-file <file>", "its key")
    .action(async (o: Record<string, string>, command: Command) => {
      const { startStandaloneApiServer } = await import("../../daemon/control-plane.ts");
      const log = commandLog(command, "apiserver");
      const bind = (o["bindAddress"] ?? "").split(",").map((ip) => address("--bind-address", ip));
      if ((o["tlsCertFile"] === undefined) !== (o["tlsPrivateKeyFile"] === undefined)) {
        throw usageError("--tls-cert-file and --tls-private-key-file go together");
      }
      checkDataFolder("--data-dir", o["dataDir"] ?? "");
      if (o["kubeconfigOut"] !== undefined) checkWritable("--kubeconfig-out", o["kubeconfigOut"]);
      for (const option of ["--client-ca-file", "--token-auth-file", "--tls-cert-file", "--tls-private-key-file"]) {
        const file = o[option.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
        if (file !== undefined) readOption(option, file);
      }
      await runRole(log, () =>
        startStandaloneApiServer(
          {
            dataDir: o["dataDir"] ?? "",
            bind,
            port: integer("--secure-port", o["securePort"] ?? "6443", 0, 65535),
            advertise: o["advertiseAddress"]?.split(",").map((ip) => address("--advertise-address", ip)) ?? bind.slice(0, 1),
            serviceCidrs: cidrList("--service-cluster-ip-range", o["serviceClusterIpRange"] ?? "").map(printCidr),
            clusterDomain: o["clusterDomain"] ?? "cluster.local",
            ...(o["clientCaFile"] === undefined ? {} : { clientCaFile: o["clientCaFile"] }),
            ...(o["tokenAuthFile"] === undefined ? {} : { tokenAuthFile: o["tokenAuthFile"] }),
            ...(o["tlsCertFile"] === undefined ? {} : { tlsCertFile: o["tlsCertFile"] }),
            ...(o["tlsPrivateKeyFile"] === undefined ? {} : { tlsPrivateKeyFile: o["tlsPrivateKeyFile"] }),
          },
          o["kubeconfigOut"] ?? join(o["dataDir"] ?? "", "kubeconfig"),
          log,
        ),
      );
    });
}
