import { realpathSync } from "node:fs";
import { resolve } from "node:path";

/**
 * One path for one place, however somebody names it: what a node's pods have on the machine is named by the node's folder, and who
 * cleans up may come by another way (a link, a relative path) than who made it.
 */
export function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
