import type { Command } from "commander";
import { addQuestionOptions, type QuestionOptions } from "../question.ts";

export interface TraceOptions extends QuestionOptions {
  readonly node?: string;
  readonly backend?: string;
  readonly config?: string;
  readonly from: string;
  readonly to: string;
}

export function register(program: Command): void {
  const command = program
    .command("trace")
    .summary("where a packet would go, and which rule and object say so")
    .description(
      "Follows the first packet of a connection through the rules of one node: delivered to which endpoints, rejected, dropped, or passed because no Service has to do with it; and why.",
    )
    .requiredOption("--from <sender>", "IP, NAMESPACE/POD, node, external or external:IP")
    .requiredOption("--to <target>", "IP:PORT[/PROTO] or SERVICE.NAMESPACE[:PORT[/PROTO]]")
    .option("--node <name>", "the node whose rules are asked; default: the Pod's, or the only one")
    .option(
      "--backend <backend>",
      "whose rules: nftables, iptables, ipvs, userspace or all; default: the running node's, nftables for files",
    )
    .option("--config <file>", "a KubeProxyConfiguration, as kube-proxy takes it")
    .usage("[options]")
    .argument("[paths...]", "more files and folders, behind --objects");
  addQuestionOptions(command, "drop or reject")
    .addHelpText(
      "after",
      "\nExamples:\n  fairway trace --from shop/web-0 --to api.shop:80\n  fairway trace --objects manifests/ --node node-1 --from external --to 192.0.2.10:30080 -o json\n",
    )
    .action(async (words: readonly string[], options: TraceOptions, self: Command) => {
      const { answerTrace } = await import("../questions/trace-question.ts");
      await answerTrace(words, options, self);
    });
}
