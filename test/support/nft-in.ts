import type { RunNft } from "../../rules/apply/text-applier.ts";
import { commandsIn } from "./in-netns.ts";

/** Runs `nft` in a named network namespace. */
export function nftIn(namespace: string): RunNft {
  const run = commandsIn(namespace);
  return (args, input, signal) => run(["nft", ...args], { input }, signal);
}
