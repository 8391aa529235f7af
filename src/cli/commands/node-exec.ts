import type { Command } from "commander";
import { addClusterOptions, type ClusterOptions } from "../cluster.ts";

export function register(program: Command): void {
  const command = program
    .command("node-exec")
    .summary("run a command in a node's network namespace")
    .description(
      "Runs a command as the node would: in its network namespace, with its links, addresses, routes and rules. The command takes this process's place, so signals and the exit status are its own.",
    )
    .argument("<node>", "a node of the cluster, as 'fairway status' names it")
    .argument("<command...>", "the command and its arguments, after --")
    .addHelpText(
      "after",
      "\nExamples:\n  fairway node-exec node-1 -- nft list table ip kube-proxy\n  fairway node-exec node-2 -- curl -s http://10.96.0.1/\n",
    );
  addClusterOptions(command).action(async (node: string, words: readonly string[], options: ClusterOptions) => {
    const { execInNode } = await import("../node-exec.ts");
    execInNode(node, words, options);
  });
}
