import type { JsonObject } from "./json-value.ts";
import { pathsOf } from "./openapi/paths.ts";
import { schemasOf } from "./openapi/schemas.ts";
import { apiVersionOf, resources } from "./scheme.ts";

export { type Describe, describerOf, descriptionsFrom } from "./openapi/descriptions.ts";
export { openApiV2, openApiV2Accepted, openApiV2MediaType } from "./openapi/v2.ts";

/** What a type, or one of its fields, is for; undefined when nobody wrote it down. */
type Description = (type: string, field?: string) => string | undefined;

/** The group versions that have a document, as paths of the API: `api/v1`, `apis/apps/v1`. */
export const openApiV3Paths: readonly string[] = [
  ...new Set(resources.map((r) => (r.group === "" ? `api/${r.version}` : `apis/${r.group}/${r.version}`))),
];

/** What `/openapi/v3` answers. `hash` makes a document's address change when its content does. */
export function openApiV3Index(hash: (path: string) => string = () => ""): JsonObject {
  const address = (path: string): string => {
    const tag = hash(path);
    return `/openapi/v3/${path}${tag === "" ? "" : `?hash=${tag}`}`;
  };
  return { paths: Object.fromEntries(openApiV3Paths.map((path) => [path, { serverRelativeURL: address(path) }])) };
}

/**
 * The OpenAPI v3 document of one group version (`v1`, `apps/v1`), with all that kubectl looks for: kinds at schemas and
 * operations, patch strategies, list types. Undefined for a group version that is not served.
 */
export function openApiV3(groupVersion: string, describe: Description = () => undefined, version = "v1.36"): JsonObject | undefined {
  const served = resources.filter((r) => apiVersionOf(r) === groupVersion);
  if (served.length === 0) return undefined;
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version },
    paths: pathsOf(served),
    components: { schemas: schemasOf(served, describe) },
  };
}
