import { join } from "node:path";
import type { ServedContainer } from "./node-server.ts";
import type { PodRuntime } from "./pod-runtime.ts";
import type { PodWorker } from "./pod-worker.ts";

/** What the node's API shows of a container; `undefined` when the pod has none of that name. */
export function serveContainer(worker: PodWorker, name: string, runtime: PodRuntime): ServedContainer | undefined {
  const { spec, metadata } = worker.pod;
  const known = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].some((c) => c.name === name);
  if (!known) return undefined;
  const running = () => (worker.view(name).phase.kind === "running" ? worker.run(name) : undefined);
  const missing = { missing: `container not found ("${name}"): it does not run` };
  return {
    log(previous) {
      const view = worker.view(name);
      const last = worker.run(name)?.attempt;
      const attempt = last === undefined ? undefined : previous ? last - 1 : last;
      if (previous && (attempt === undefined || attempt < 0)) {
        return { missing: `previous terminated container "${name}" in pod "${metadata?.name ?? ""}" not found` };
      }
      if (attempt === undefined) {
        const reason = view.phase.kind === "waiting" ? view.phase.reason : "ContainerCreating";
        return { missing: `container "${name}" in pod "${metadata?.name ?? ""}" is waiting to start: ${reason}` };
      }
      const path = join(runtime.folders(worker.uid).logs, name, `${attempt}.log`);
      return { path, ended: () => worker.run(name)?.attempt !== attempt || worker.view(name).phase.kind !== "running" };
    },
    exec(argv, options) {
      const run = running();
      return run === undefined ? missing : runtime.exec(run, argv, options);
    },
    attach(options) {
      const run = running();
      return run === undefined ? missing : runtime.attach(run, options);
    },
  };
}
