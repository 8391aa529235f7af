import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "fairway-nft-command-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inFolder = (name: string): string => join(folder, name);

/** Reads its input only when it is told to, and leaves it in `read`. */
const slowNft = `#!/bin/sh
cd ${folder}
touch started
while [ ! -e go ]; do sleep 0.02; done
cat > reading
mv reading read
`;

const exists = (name: string): Promise<true> =>
  expect.poll(() => existsSync(inFolder(name)), { timeout: 8000 }).toBe(true) as Promise<never>;

// A part of a transaction may be one too, if it ends at the end of a line: nft would apply it.
test("whoever is killed while nft reads has given it the whole transaction", async () => {
  writeFileSync(inFolder("nft.tmp"), slowNft);
  chmodSync(inFolder("nft.tmp"), 0o755);
  renameSync(inFolder("nft.tmp"), inFolder("nft"));
  const text = "add element ip t s { 1 }\n".repeat(100_000);
  const module = join(import.meta.dirname, "..", "..", "..", "src", "kernel", "nft-command.ts");
  const program = `import { runNft } from ${JSON.stringify(module)};
    await runNft(["-f", "-"], "add element ip t s { 1 }\\n".repeat(100_000), AbortSignal.timeout(60_000));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: "inherit",
    env: { ...process.env, PATH: `${folder}:${process.env["PATH"] ?? ""}` },
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await exists("started");
  child.kill("SIGKILL");
  await ended;
  writeFileSync(inFolder("go"), "");
  await exists("read");
  expect(statSync(inFolder("read")).size).toBe(text.length);
});
