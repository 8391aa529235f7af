import type { Backend } from "../../rules/index.ts";
import { usageError } from "./errors.ts";

/** The rule backends that can be asked. */
export const backends = ["nftables"] as const satisfies readonly Backend[];

/** Throws a usage error with the list of what there is. */
export function chooseBackend(asked: string): Backend {
  const found = backends.find((b) => b === asked);
  if (found === undefined) throw usageError(`--backend ${asked}: there ${backends.length === 1 ? "is" : "are"} ${backends.join(", ")}`);
  return found;
}

/** The same, and `all` for every one. */
export function chooseBackends(asked: string): readonly Backend[] {
  return asked === "all" ? backends : [chooseBackend(asked)];
}
