import type { Command } from "commander";
import { addQuestionOptions, collect, type QuestionOptions } from "../question.ts";

export interface RouteCommandOptions extends QuestionOptions {
  readonly request: string;
  readonly header?: readonly string[];
  readonly user?: string;
  readonly from?: string;
}

export function register(program: Command): void {
  const command = program
    .command("route")
    .summary("which backend a request would get, and which Ingress says so")
    .description(
      "Takes one HTTP request through the ingress: which rule of which Ingress has it, what is rewritten, redirected or refused, and which Services get which share. Rate limits are named, not counted.",
    )
    .usage("[options] <url>")
    .argument("<url...>", "http://HOST/PATH or https://HOST/PATH")
    .option("-X, --request <method>", "its method", "GET")
    .option("-H, --header <line>", "a header, 'Name: value'; may be repeated", collect)
    .option("-u, --user <user:password>", "basic auth, as with curl")
    .option("--from <ip>", "the client's address (default 203.0.113.1)");
  addQuestionOptions(command, "no route")
    .addHelpText(
      "after",
      "\nExamples:\n  fairway route https://shop.test/ -H 'X-Canary: always'\n  fairway route --objects examples/shop https://api.shop.test/v1/items/7 -o json\n",
    )
    .action(async (words: readonly string[], options: RouteCommandOptions, self: Command) => {
      const { answerRouteQuestion } = await import("../questions/route-question.ts");
      await answerRouteQuestion(words, options, self);
    });
}
