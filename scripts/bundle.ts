// One bundle with shared chunks: each role loads only its own part, and nothing is transpiled at run time.
import { globSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const out = join(root, "dist");
rmSync(out, { recursive: true, force: true });
// `x.worker.ts` runs in a worker thread, `x.program.ts` in a container: each is loaded by its file name, from dist/.
const separate = globSync("{src,rules,dns,ingress}/**/*.{worker,program}.ts", { cwd: root });
await build({
  absWorkingDir: root,
  entryPoints: { fairway: "src/cli/main.ts", ...Object.fromEntries(separate.map((f) => [basename(f, ".ts"), f])) },
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  // ES modules first: the CommonJS builds of some packages lose their names behind a dynamic import.
  mainFields: ["module", "main"],
  target: "node24",
  sourcemap: "linked",
  sourcesContent: false,
  // koffi loads a native library from its platform package.
  external: ["koffi"],
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  logLevel: "warning",
});
