import type { Command } from "commander";
import { addQuestionOptions, collect, type QuestionOptions } from "../question.ts";

export interface PlanOptions extends QuestionOptions {
  readonly change?: readonly string[];
  readonly delete?: readonly string[];
  readonly node?: string;
  readonly backend?: string;
  readonly config?: string;
  readonly clusterDomain?: string;
}

export function register(program: Command): void {
  const command = program
    .command("plan")
    .summary("what applying a manifest would do to connections, names and routes")
    .description(
      "Says what would be different if manifests were applied, or objects deleted: addresses and ports that Services gain, lose or serve otherwise, connections that would end elsewhere, names, Ingress routes, and problems that would arise. EndpointSlices follow from the Pods that are known; nothing is written anywhere.",
    )
    .option("--change <path>", "file or folder to apply as 'kubectl apply' would; may be repeated", collect)
    .option("--delete <what>", "file of objects, or KIND/NAME or KIND/NAMESPACE/NAME, to delete; may be repeated", collect)
    .option("--node <name>", "rules of this node only; default: all nodes")
    .option("--backend <backend>", "whose rules carry the connections; default: the running node's, nftables for files; or all")
    .option("--config <file>", "a KubeProxyConfiguration, as kube-proxy takes it; default: the running cluster's")
    .option("--cluster-domain <domain>", "default: the running cluster's, or cluster.local")
    .usage("[options]")
    .argument("[paths...]", "more files and folders, behind --objects");
  addQuestionOptions(command, "that anything would change")
    .addHelpText(
      "after",
      "\nExamples:\n  fairway plan --change web.yaml\n  fairway plan --delete Service/shop/web\n  fairway plan --objects manifests/ --change next.yaml --node node-1 -o json\n",
    )
    .action(async (words: readonly string[], options: PlanOptions, self: Command) => {
      const { answerPlan } = await import("../questions/plan-question.ts");
      await answerPlan(words, options, self);
    });
}
