import type { Command } from "commander";
import type { ClusterAccess } from "../client/cluster-access.ts";
import { readOption } from "./file-options.ts";

export function kubeconfigOption(command: Command): Command {
  return command.requiredOption("--kubeconfig <file>", "the API server and who this is");
}

/** A kubeconfig that cannot be used is wrong usage, and told before anything starts. */
export async function checkedAccess(kubeconfig: string | undefined): Promise<ClusterAccess> {
  const { inClusterAccess, loadKubeconfig } = await import("../client/kubeconfig.ts");
  if (kubeconfig === undefined) return inClusterAccess();
  readOption("--kubeconfig", kubeconfig);
  return loadKubeconfig({ path: kubeconfig });
}
