import type { Command } from "commander";
import { addOutputOption } from "../global-options.ts";
import type { OutputFormat } from "../output-format.ts";

export function register(program: Command): void {
  const config = program
    .command("config")
    .summary("look at a KubeProxyConfiguration or Corefile before it is used")
    .description(
      "Questions about the file that --config takes (kube-proxy's own, kubeproxy.config.k8s.io/v1alpha1), and about the one that --corefile takes.",
    );
  const check = config
    .command("check <file>")
    .summary("whether a file can be used, and what it means here")
    .description(
      "Reads a KubeProxyConfiguration, or kubeadm's ConfigMap kube-system/kube-proxy with one in it, and says what it comes to: backend, detector, addresses, and fields that have no meaning here. Exit status 2 names every bad field. Of a Corefile it says what each server block serves, and its plugins in the order in which queries meet them; exit status 2 names file and line of what is wrong.",
    )
    .option("--backend <backend>", "as if --backend stood beside --config");
  addOutputOption(check).action(async (file: string, options: { output?: OutputFormat; backend?: string }, self: Command) => {
    const { answerConfigCheck } = await import("../questions/config-question.ts");
    answerConfigCheck(file, options, self);
  });
}
