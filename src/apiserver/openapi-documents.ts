import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import {
  type Describe,
  describerOf,
  openApiV2,
  openApiV2Accepted,
  openApiV2MediaType,
  openApiV3,
  openApiV3Index,
  openApiV3Paths,
} from "../api/openapi.ts";
import { notAcceptable } from "../api/status-error.ts";
import { type Answer, json, jsonBytes } from "./answer.ts";
import { parseAccept } from "./representation.ts";

const root = "/openapi/v3";
const version2 = "/openapi/v2";

/** OpenAPI v3, a document a group version, and all of it in v2; each is made when first asked for and kept as bytes. */
export class OpenApiDocuments {
  readonly #describe: () => Describe;
  readonly #documents = new Map<string, Uint8Array>();
  #index: Answer | undefined;
  #version2: Uint8Array | undefined;

  /** `describe` is called once, when the first document is made: what it reads is large. */
  constructor(describe: () => Describe = installedDescriptions) {
    const once = { value: undefined as Describe | undefined };
    this.#describe = () => (once.value ??= describe());
  }

  /** Undefined for other paths. */
  answer(path: string, accept: string | undefined): Answer | undefined {
    if (path === version2) return this.#answerVersion2(accept);
    if (path !== root && !path.startsWith(`${root}/`)) return undefined;
    if (!parseAccept(accept ?? "*/*").some(({ type }) => ["application/json", "application/*", "*/*"].includes(type))) {
      throw notAcceptable(["application/json"]);
    }
    if (path === root) {
      // An address that names its content lets clients keep it for good: kubectl does, on disk.
      this.#index ??= json(openApiV3Index((of) => createHash("sha256").update(this.#document(of)).digest("hex").toUpperCase()));
      return this.#index;
    }
    const of = path.slice(root.length + 1);
    return openApiV3Paths.includes(of) ? jsonBytes(this.#document(of)) : undefined;
  }

  #answerVersion2(accept: string | undefined): Answer {
    if (!parseAccept(accept ?? "*/*").some(({ type }) => [openApiV2Accepted, openApiV2MediaType, "application/*", "*/*"].includes(type))) {
      throw notAcceptable([openApiV2Accepted]);
    }
    this.#version2 ??= openApiV2(this.#describe());
    return { kind: "bytes", status: 200, type: openApiV2MediaType, body: [this.#version2] };
  }

  #document(path: string): Uint8Array {
    let bytes = this.#documents.get(path);
    if (bytes === undefined) {
      const groupVersion = path.startsWith("apis/") ? path.slice(5) : path.slice(4);
      bytes = new TextEncoder().encode(JSON.stringify(openApiV3(groupVersion, this.#describe())));
      this.#documents.set(path, bytes);
    }
    return bytes;
  }
}

/** From the package of Kubernetes' types, where it is installed; without it `explain` shows names and types only. */
function installedDescriptions(): Describe {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve("kubernetes-types/package.json"));
    const files = globSync("*/v1.d.ts", { cwd: folder });
    return describerOf(new Map(files.map((file) => [file.replace(/\.d\.ts$/, ""), readFileSync(join(folder, file), "utf8")])));
  } catch {
    return () => undefined;
  }
}
