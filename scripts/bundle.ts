// One bundle with shared chunks: each role loads only its own part, and nothing is transpiled at run time.
import { globSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { build, type Plugin } from "esbuild";

const root = join(import.meta.dirname, "..");
const out = join(root, "dist");
/**
 * Importing node:http as an ES module reads each of its properties, and some of those load the whole of fetch: 25 ms of processor
 * time and 5 to 15 MiB in each process that only serves. Taken as a plain object it stays unread.
 */
const plainHttp: Plugin = {
  name: "plain-http",
  setup: (on) => {
    on.onResolve({ filter: /^(node:)?http$/ }, () => ({ path: "node:http", namespace: "plain" }));
    on.onLoad({ filter: /./, namespace: "plain" }, () => ({ contents: 'module.exports = process.getBuiltinModule("node:http");' }));
  },
};
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
  plugins: [plainHttp],
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  logLevel: "warning",
});
