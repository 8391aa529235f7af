import type { Command } from "commander";
import { addQuestionOptions, type QuestionOptions } from "../question.ts";

export interface MigrateOptions extends QuestionOptions {
  readonly ingressClass: string;
  readonly controllerClass: string;
  readonly configmap: string;
}

export function register(program: Command): void {
  const migrate = program
    .command("migrate")
    .summary("what becomes of another program's configuration here")
    .description("Reads what another program serves, and says for each object what fairway does with it. Nothing is written.");
  const command = migrate
    .command("ingress-nginx")
    .summary("each Ingress that ingress-nginx serves: its annotations, its quirks, its problems")
    .description(
      "Reports on each Ingress of ingress-nginx: which annotations mean the same here, which differ and how, which are refused and what to use instead; which habits of ingress-nginx it relies on, all of which are kept; and what its ConfigMap says.",
    )
    .argument("[paths...]", "more files and folders, behind --objects")
    .option("--ingress-class <name>", "the class of its Ingresses", "nginx")
    .option("--controller-class <name>", "what spec.controller of its IngressClasses says", "k8s.io/ingress-nginx")
    .option("--configmap <namespace/name>", "its ConfigMap", "ingress-nginx/ingress-nginx-controller");
  addQuestionOptions(command, "that something is not served as before")
    .addHelpText(
      "after",
      "\nVerdicts: same; differs (a difference is named); partly (something is refused or wrong, the rest is served); shut (paths answer 503).\n\nExamples:\n  fairway migrate ingress-nginx --kubeconfig FILE\n  kubectl get ingress,ingressclass,service,configmap -A -o yaml > all.yaml; fairway migrate ingress-nginx --objects all.yaml -o json --fail\n",
    )
    .action(async (words: readonly string[], options: MigrateOptions, self: Command) => {
      const { answerMigration } = await import("../questions/migrate-question.ts");
      await answerMigration(words, options, self);
    });
}
