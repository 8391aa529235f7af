import { join } from "node:path";
import type { Command } from "commander";
import { clustersDir, hasClusterData, isAlive, readClusterStatus, removeClusterStatus } from "../cluster-status.ts";
import { usageError } from "../errors.ts";
import { commandIo } from "../program.ts";

export function register(program: Command): void {
  program
    .command("down")
    .summary("end a cluster of this machine, or clean up after a crash")
    .description(
      "Ends a cluster that runs on this machine, or removes what a killed one left: containers, namespaces, links, rules, mounts.\nIts data stays; the next `up` goes on with it.",
    )
    .option("--name <name>", "the cluster's name (default fairway)")
    .option("--data-dir <dir>", "where it keeps its data")
    .action(async (o: { name?: string; dataDir?: string }, command: Command) => {
      const io = commandIo(command);
      const dataDir = o.dataDir ?? join(clustersDir(), o.name ?? "fairway");
      const status = readClusterStatus(dataDir);
      const name = o.name ?? status?.name;
      if (name === undefined && o.dataDir !== undefined) {
        if (!hasClusterData(dataDir)) throw usageError(`--data-dir ${o.dataDir}: no cluster has run there; give --name too`);
        io.stdout(`${o.dataDir}: nothing was left\n`); // it ended in order: else there would be a status
        return;
      }
      const cluster = name ?? "fairway";
      const running = status !== undefined && isAlive(status);
      if (running) {
        process.kill(status.pid, "SIGTERM");
        for (let i = 0; i < 150 && isAlive(status); i++) await new Promise((r) => setTimeout(r, 100));
      }
      const { removeCluster } = await import("../../daemon/down.ts");
      const removed = await removeCluster(cluster, dataDir);
      removeClusterStatus(dataDir, cluster);
      io.stdout(
        removed.length === 0
          ? `cluster ${cluster}: ${running ? "ended" : "nothing was left"}\n`
          : `cluster ${cluster}: removed ${removed.join(", ")}\n`,
      );
    });
}
