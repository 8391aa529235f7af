import { defineConfig } from "vitest/config";

const seconds = 1000;

// Limits are for a machine that is slow and busy: tests wait for what they want, so a pass is no slower for them.

export default defineConfig({
  test: {
    watch: false,
    projects: [
      {
        test: {
          name: "fast",
          include: ["test/{architecture,unit,contract,golden,property,scenario}/**/*.test.ts"],
          pool: "threads",
          isolate: false,
          testTimeout: 60 * seconds,
          hookTimeout: 60 * seconds,
          expect: { poll: { timeout: 20 * seconds } },
        },
      },
      {
        test: {
          name: "kernel",
          include: ["test/kernel/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 240 * seconds,
          hookTimeout: 240 * seconds,
          expect: { poll: { timeout: 60 * seconds } },
        },
      },
      {
        test: {
          // two guest kernels; a case waits for those before it
          name: "guest",
          include: ["test/guest/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 2460 * seconds,
          hookTimeout: 60 * seconds,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 300 * seconds,
          hookTimeout: 300 * seconds,
        },
      },
    ],
  },
});
