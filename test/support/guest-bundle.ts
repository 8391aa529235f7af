import { mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

export interface GuestBundle {
  /** Shell words that run the program `name`. */
  command(name: string): string;
  remove(): void;
}

/** Programs as single files, for in a guest kernel every module that is opened costs milliseconds. */
export async function bundleForGuest(programs: Readonly<Record<string, string>>): Promise<GuestBundle> {
  const folder = mkdtempSync(join(tmpdir(), "fairway-guest-programs-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    // koffi loads a native library from beside it: it stays where it is
    symlinkSync(realpathSync(join(import.meta.dirname, "..", "..", "node_modules")), join(folder, "node_modules"));
    await build({
      entryPoints: programs,
      outdir: folder,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      format: "esm",
      platform: "node",
      mainFields: ["module", "main"],
      target: "node24",
      logLevel: "warning",
      external: ["koffi"],
      banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
    });
  } catch (error) {
    remove();
    throw error;
  }
  return { command: (name) => `${process.execPath} --disable-warning=ExperimentalWarning ${join(folder, `${name}.mjs`)}`, remove };
}
