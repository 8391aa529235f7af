import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { resourceOfKind } from "../api/scheme.ts";
import type { UpOptions } from "../daemon/cluster-config.ts";
import { parseImages } from "../node/images.ts";
import { inputError } from "./errors.ts";
import { loadObjects } from "./objects.ts";

/** Looks at the files that `up` will need, before anything starts. Throws input errors that name file, object and field. */
export function checkUpFiles(o: Pick<UpOptions, "images" | "apply" | "kubeconfig">): void {
  if (o.images !== undefined) parseImages(readText("--images", o.images), o.images);
  for (const { apiVersion, kind, source } of loadObjects(o.apply ?? [])) {
    if (resourceOfKind(apiVersion, kind) === undefined)
      throw inputError(`${source}: ${apiVersion} ${kind}: this API has no such kind; see 'kubectl api-resources'`);
  }
  if (o.kubeconfig !== undefined) {
    const folder = dirname(resolve(o.kubeconfig));
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
      throw inputError(`--kubeconfig ${o.kubeconfig}: there is no folder ${folder}; make it first`);
  }
}

function readText(option: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw inputError(`${option} ${file}: cannot be read; give a YAML file with a list \`images\``, error);
  }
}
