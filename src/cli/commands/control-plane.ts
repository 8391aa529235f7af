import type { Command } from "commander";
import { printCidr } from "../../base/cidr.ts";
import { cidrList } from "../../daemon/cluster-config.ts";
import { runRole } from "../../daemon/role.ts";
import { readOption } from "../file-options.ts";
import { commandLog } from "../global-options.ts";
import { checkedAccess, kubeconfigOption } from "../kubeconfig-option.ts";

export function register(program: Command): void {
  kubeconfigOption(program.command("controllers"))
    .summary("workload, endpoint, address and namespace controllers")
    .description(
      "Runs the controllers: Deployments to EndpointSlices, addresses from the pool, namespaces, garbage collection, node ranges.",
    )
    .option("--cluster-cidr <cidrs>", "the range that nodes get their pod ranges from", "10.244.0.0/16")
    .option("--lb-pool <cidrs>", "addresses for LoadBalancer Services; none when absent")
    .option("--root-ca-file <file>", "what kube-root-ca.crt holds (default: the kubeconfig's certificate authority)")
    .action(async (o: { kubeconfig: string; clusterCidr: string; lbPool?: string; rootCaFile?: string }, command: Command) => {
      const { startControllersRole } = await import("../../daemon/control-plane.ts");
      const log = commandLog(command, "controllers");
      const access = await checkedAccess(o.kubeconfig);
      const caFile = o.rootCaFile === undefined ? access.caFile : undefined;
      const rootCaPem =
        o.rootCaFile !== undefined
          ? readOption("--root-ca-file", o.rootCaFile)
          : (access.caPem ?? (caFile === undefined ? "" : readOption("certificate-authority", caFile)));
      const config = {
        kubeconfig: o.kubeconfig,
        clusterCidrs: cidrList("--cluster-cidr", o.clusterCidr).map(printCidr),
        lbPool: o.lbPool === undefined ? [] : cidrList("--lb-pool", o.lbPool).map(printCidr),
        rootCaPem,
      };
      await runRole(log, () => startControllersRole(config, log));
    });
  kubeconfigOption(program.command("scheduler"))
    .summary("assigns pods to nodes")
    .description("Runs the scheduler: requests, node selectors and affinity, taints, host ports.")
    .action(async (o: { kubeconfig: string }, command: Command) => {
      const { startSchedulerRole } = await import("../../daemon/control-plane.ts");
      const log = commandLog(command, "scheduler");
      await checkedAccess(o.kubeconfig);
      await runRole(log, () => startSchedulerRole({ kubeconfig: o.kubeconfig }, log));
    });
}
