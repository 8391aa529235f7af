import type { Command } from "commander";
import { addClusterOptions, type ClusterOptions } from "../cluster.ts";
import { addOutputOption } from "../global-options.ts";
import type { OutputFormat } from "../output-format.ts";
import { commandIo } from "../program.ts";

export function register(program: Command): void {
  const command = program
    .command("status")
    .summary("what runs: API, nodes, DNS, ingress, and what could not be programmed")
    .description(
      "Says where a running cluster can be reached, whether its nodes are ready, and which objects could not be programmed and why.",
    );
  addOutputOption(addClusterOptions(command)).action(async (options: ClusterOptions & { output?: OutputFormat }, self: Command) => {
    const [{ clusterReport }, { printStatus }] = await Promise.all([import("../cluster-report.ts"), import("../printers/status.ts")]);
    commandIo(self).stdout(printStatus(options.output, await clusterReport(options)));
  });
}
