// `npm run soak [PART…]`: kills and fuzzing for long. Prints the seed that repeats it, progress, and one line for each part.
import { parseArgs } from "node:util";
import type { SoakOptions, SoakResult } from "../test/soak/part.ts";

const parts: Readonly<Record<string, () => Promise<{ readonly run: (o: SoakOptions) => Promise<SoakResult> }>>> = {
  rules: () => import("../test/soak/rules.ts"),
  "rules-command": () => import("../test/soak/rules-command.ts"),
  "rules-iptables-legacy": () => import("../test/soak/rules-iptables-legacy.ts"),
  "rules-iptables-nft": () => import("../test/soak/rules-iptables-nft.ts"),
  "rules-ipvs": () => import("../test/soak/rules-ipvs.ts"),
  apiserver: () => import("../test/soak/apiserver.ts"),
  cluster: () => import("../test/soak/cluster.ts"),
  ingress: () => import("../test/soak/ingress.ts"),
  fuzz: () => import("../test/soak/fuzz.ts"),
};
const usage = `usage: npm run soak -- [--seed N] [--minutes N] [--kills N] [PART…]
  --seed N      repeats the draws of an earlier run
  --minutes N   no part takes longer (default 20)
  --kills N     kills of each part that kills (default 1000)
  PART          ${Object.keys(parts).join(", ")} (default: all)
`;

const { values, positionals } = (() => {
  const number = { type: "string" } as const;
  try {
    const read = parseArgs({ allowPositionals: true, options: { seed: number, minutes: number, kills: number } });
    const bad = [
      ...Object.entries(read.values).flatMap(([name, value]) => (Number(value) >= 0 ? [] : [`--${name} ${value}`])),
      ...read.positionals.filter((name) => parts[name] === undefined),
    ];
    if (bad.length > 0) throw new Error(`not understood: ${bad.join(", ")}`);
    return read;
  } catch (error) {
    process.stderr.write(`soak: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exit(2);
  }
})();
const seed = Number(values.seed ?? Math.floor(Math.random() * 0x7fffffff));
const minutes = Number(values.minutes ?? 20);
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
process.once("SIGTERM", () => interrupted.abort());

process.stdout.write(`soak: --seed ${seed}\n`);
for (const [name, load] of Object.entries(parts)) {
  if ((positionals.length > 0 && !positionals.includes(name)) || interrupted.signal.aborted) continue;
  const started = performance.now();
  const timeUp = AbortSignal.timeout(minutes * 60_000);
  let nextLine = started + 10_000;
  const progress = (text: string): void => {
    if (performance.now() < nextLine) return;
    nextLine = performance.now() + 10_000;
    process.stdout.write(`   ${name}: ${text}\n`);
  };
  const { run } = await load();
  const options = { seed, minutes, kills: Number(values.kills ?? 1000), signal: AbortSignal.any([timeUp, interrupted.signal]), progress };
  const { summary, faults } = await run(options).catch(
    (error: unknown): SoakResult => ({
      summary: "ended by an error",
      faults: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
    }),
  );
  for (const fault of faults) process.stdout.write(`   ${name}: ${fault}\n`);
  const verdict = faults.length === 0 ? "ok" : "FAILED";
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(`${verdict}  ${name}: ${summary} (${seconds} s, --seed ${seed})\n`);
  if (faults.length > 0) process.exitCode = 1;
}
if (interrupted.signal.aborted) process.exitCode = 130;
