import type { Command } from "commander";
import { addClusterOptions, type ClusterOptions } from "../cluster.ts";
import { addOutputOption } from "../global-options.ts";
import type { OutputFormat } from "../output-format.ts";
import { collect } from "../question.ts";

export interface HistoryOptions extends ClusterOptions {
  readonly node?: string;
  readonly observe?: readonly string[];
  readonly service?: string;
  readonly since?: string;
  readonly limit: string;
  readonly output?: OutputFormat;
}

export function register(program: Command): void {
  const command = program
    .command("history")
    .summary("what changed the Service rules, when, and what came of it")
    .description(
      "Lists the last transactions of Service rules on each node, latest first: which objects at which version caused them, what happened to which Services, how long it took, and whether the kernel refused something or somebody else had changed the rules. Each node's agent remembers about a thousand since it started.",
    )
    .option("--node <name>", "this node only")
    .option("--observe <address:port>", "ask the daemon whose metrics are served there, instead of a cluster's; may be repeated", collect)
    .option("--service <namespace/name>", "what changed this Service's rules")
    .option("--since <time>", "so long ago, 10m or 1h30m, or since a time such as 2026-01-31T12:00:00Z")
    .option("--limit <n>", "the latest so many", "50");
  addClusterOptions(addOutputOption(command))
    .addHelpText("after", "\nExamples:\n  fairway history --service shop/web\n  fairway history --node node-1 --since 10m -o json\n")
    .action(async (options: HistoryOptions, self: Command) => {
      const { answerHistory } = await import("../history.ts");
      await answerHistory(options, self);
    });
}
