import type { Command } from "commander";
import { addQuestionOptions, type QuestionOptions } from "../question.ts";

export interface ResolveCommandOptions extends QuestionOptions {
  readonly from?: string;
  readonly search?: true;
  readonly clusterDomain?: string;
  readonly corefile?: string;
}

export function register(program: Command): void {
  const command = program
    .command("resolve")
    .summary("what cluster DNS would answer")
    .description(
      "Says what cluster DNS answers for a name, by the objects alone: nothing is asked of other servers, so a name outside the cluster is REFUSED here.",
    )
    .usage("[options] <name> [type]")
    .argument("<name...>", "the name, then the record type (default A; PTR for an IP address)")
    .option("--search", "try the names of a Pod's search path in order, as its resolver does")
    .option("--from <pod>", "NAMESPACE/POD or a Pod's IP: whose search path it is (default: namespace default)")
    .option("--cluster-domain <domain>", "the zone of cluster names (default: the cluster's, else cluster.local)")
    .option("--corefile <file>", "answer as a server with this Corefile would: its zones, rewrites, hosts and the rest");
  addQuestionOptions(command, "not NOERROR: NXDOMAIN, or REFUSED for a name outside")
    .addHelpText(
      "after",
      "\nExamples:\n  fairway resolve 10.96.0.10\n  fairway resolve web.shop.svc.cluster.local\n  fairway resolve _http._tcp.web.shop.svc.cluster.local SRV -o json\n  fairway resolve --objects manifests/ web --search --from shop/api-0\n  fairway resolve --objects manifests/ --corefile Corefile www.example.org\n",
    )
    .action(async (words: readonly string[], options: ResolveCommandOptions, self: Command) => {
      const { answerResolve } = await import("../questions/resolve-question.ts");
      await answerResolve(words, options, self);
    });
}
