import type { Command } from "commander";
import { nginxScope, reportMigration } from "../../../ingress/index.ts";
import type { Kind } from "../../snapshot/cluster-snapshot.ts";
import type { MigrateOptions } from "../commands/migrate.ts";
import { usageError } from "../errors.ts";
import { printMigration } from "../printers/migration.ts";
import { commandIo } from "../program.ts";
import { askObjects, failIf, splitPaths } from "../question.ts";

const kinds: readonly Kind[] = ["Service", "EndpointSlice", "Ingress", "IngressClass", "Secret", "ConfigMap"];

export async function answerMigration(words: readonly string[], options: MigrateOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const { paths, words: rest } = splitPaths(options, words, 0);
  if (rest.length > 0) throw usageError(`migrate ingress-nginx ${rest.join(" ")}: files are named with --objects`);
  if (!/^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(options.configmap))
    throw usageError(`--configmap ${options.configmap}: write it as NAMESPACE/NAME`);
  const { snapshot, cluster } = await askObjects(options, paths, kinds, io);
  const report = reportMigration(snapshot, {
    whole: cluster !== undefined,
    scope: {
      ...nginxScope,
      className: options.ingressClass,
      controller: options.controllerClass,
      configMap: options.configmap,
    },
  });
  io.stdout(printMigration(options.output, report));
  const { partly, shut } = report.summary;
  failIf(options, partly + shut > 0, `${partly + shut} of ${report.ingresses.length} Ingresses are not served as before`);
}
