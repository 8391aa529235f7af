import type { UpProgress } from "../daemon/up.ts";
import type { CliIo } from "./program.ts";

/** Lines as steps of a start end, with how long each took; on a terminal also what is under way. */
export function startProgress(io: CliIo, plain: boolean): UpProgress {
  const redraw = !plain && process.stdout.isTTY;
  const began = new Map<string, number>();
  const under = (): void => {
    if (redraw && began.size > 0) io.stdout(`  … ${[...began.keys()].join(", ")}`);
  };
  const clear = (): void => {
    if (redraw) io.stdout("\r\u001b[K");
  };
  return {
    begin: (step) => {
      clear();
      began.set(step, performance.now());
      under();
    },
    done: (step, detail) => {
      clear();
      const seconds = ((performance.now() - (began.get(step) ?? performance.now())) / 1000).toFixed(1);
      began.delete(step);
      const mark = redraw ? "\u001b[32m✓\u001b[0m" : "ok";
      io.stdout(`  ${mark} ${step.padEnd(14)} ${seconds} s${detail === undefined ? "" : `   ${detail}`}\n`);
      under();
    },
  };
}
