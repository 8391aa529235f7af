import { execFileSync } from "node:child_process";
import { chownSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A user who may nothing: the command to run things through, and a folder of this user's own. */
export interface NoRights {
  readonly through: readonly string[];
  readonly home: string;
}

const nobody = 65534;

/** Root becomes nobody, or (where nobody may not read this checkout) root without capabilities; anybody else has no rights already. */
export function withoutRights(name: string, program: string): NoRights {
  const home = mkdtempSync(join(tmpdir(), `${name}-`));
  const env = ["env", "-u", "XDG_DATA_HOME", `HOME=${home}`];
  if (process.getuid?.() !== 0) return { through: env, home };
  const asNobody = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups", "--no-new-privs", "--bounding-set=-all"];
  try {
    execFileSync("setpriv", [...asNobody.slice(1), program, "--version"], { stdio: "ignore" });
  } catch {
    return { through: ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", ...env], home };
  }
  chownSync(home, nobody, nobody);
  return { through: [...asNobody, ...env], home };
}
