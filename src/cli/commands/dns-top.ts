import type { Command } from "commander";
import { addClusterOptions, type ClusterOptions } from "../cluster.ts";
import { addOutputOption } from "../global-options.ts";
import type { OutputFormat } from "../output-format.ts";
import { collect } from "../question.ts";

export interface DnsTopOptions extends ClusterOptions {
  readonly node?: string;
  readonly observe?: readonly string[];
  readonly limit: string;
  readonly output?: OutputFormat;
}

/** A command of `fairway dns`, whose own options stand before it. */
export function registerDnsTop(dns: Command): void {
  const command = dns
    .command("top")
    .summary("which pods ask most, and how much of it is search path")
    .description(
      "Lists the clients of the nodes' DNS that ask most since it started, how many of their queries are steps along a search path that lead nowhere, and how many of those ndots:1 in the pod's dnsConfig would save; and the names that are asked for most, estimated of a sample.",
    )
    .option("--node <name>", "this node only")
    .option("--observe <address:port>", "ask the daemon whose metrics are served there, instead of a cluster's; may be repeated", collect)
    .option("--limit <n>", "so many clients and names", "20");
  addClusterOptions(addOutputOption(command))
    .addHelpText("after", "\nExamples:\n  fairway dns top\n  fairway dns top --node node-1 -o json\n")
    .action(async (_: DnsTopOptions, self: Command) => {
      const { answerDnsTop } = await import("../dns-top.ts");
      // `dns` itself takes some of the options that may stand behind `top`
      await answerDnsTop(self.optsWithGlobals(), self);
    });
}
