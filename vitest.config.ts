import { defineConfig } from "vitest/config";

const seconds = 1000;

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
          testTimeout: 10 * seconds,
        },
      },
      {
        test: {
          name: "kernel",
          include: ["test/kernel/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 60 * seconds,
          hookTimeout: 60 * seconds,
        },
      },
      {
        test: {
          // one start of a guest kernel; a case waits for those before it
          name: "guest",
          include: ["test/guest/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 660 * seconds,
          hookTimeout: 60 * seconds,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 120 * seconds,
          hookTimeout: 120 * seconds,
        },
      },
    ],
  },
});
