import { type Command, Option } from "commander";
import { addQuestionOptions, type QuestionOptions } from "../question.ts";

export interface RenderOptions extends QuestionOptions {
  readonly node?: string;
  readonly backend?: string;
  readonly config?: string;
  readonly family?: "4" | "6";
}

export function register(program: Command): void {
  const command = program
    .command("render")
    .summary("the rules a node would have, as its loader takes them")
    .description(
      "Prints the whole rule set of one node: for nftables what 'nft -f' takes, both families unless --family says one; for userspace a JSON document of listeners.",
    )
    .option("--node <name>", "the node; default: the only one")
    .option("--backend <backend>", "whose rules: nftables, iptables, ipvs or userspace; default: the running node's, nftables for files")
    .option("--config <file>", "a KubeProxyConfiguration, as kube-proxy takes it")
    .addOption(new Option("--family <family>", "only this one").choices(["4", "6"]))
    .usage("[options]")
    .argument("[paths...]", "more files and folders, behind --objects");
  addQuestionOptions(command, "not all that was asked for: an object could not be programmed")
    .addHelpText(
      "after",
      "\nExamples:\n  fairway render --node node-1\n  fairway render --objects manifests/ --node node-1 > rules.nft && nft -c -f rules.nft\n",
    )
    .action(async (words: readonly string[], options: RenderOptions, self: Command) => {
      const { answerRender } = await import("../questions/render-question.ts");
      await answerRender(words, options, self);
    });
}
