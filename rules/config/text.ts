import { LineCounter, parseAllDocuments } from "yaml";
import { booleanWord, octalNumber } from "../../src/base/yaml-scalars.ts";
import { type Fault, isObject } from "./field.ts";
import { parseProxyConfiguration } from "./proxy-configuration.ts";

/** kubeadm's key of the configuration in ConfigMap kube-system/kube-proxy. */
const configMapKey = "config.conf";

/**
 * Reads YAML or JSON text with one KubeProxyConfiguration, or with a ConfigMap that holds one as kubeadm's kube-proxy has it.
 * Every fault is told, with its field; where the text itself is none, with its line.
 */
export function parseProxyConfigurationText(text: string): ReturnType<typeof parseProxyConfiguration> {
  const { document, fault } = parseDocument(text);
  if (fault !== undefined) return { ...parseProxyConfiguration({}), faults: [fault] };
  if (!isObject(document) || document["kind"] !== "ConfigMap") return parseProxyConfiguration(document);
  const data = document["data"];
  const inside = isObject(data) ? data[configMapKey] : undefined;
  if (typeof inside !== "string") {
    const keys = isObject(data) ? Object.keys(data).join(", ") : "";
    const fault = { field: `data["${configMapKey}"]`, message: `not in this ConfigMap${keys === "" ? "" : `; there are ${keys}`}` };
    return { ...parseProxyConfiguration({}), faults: [fault] };
  }
  const inner = parseDocument(inside);
  return inner.fault === undefined
    ? parseProxyConfiguration(inner.document)
    : { ...parseProxyConfiguration({}), faults: [{ ...inner.fault, message: `${configMapKey}: ${inner.fault.message}` }] };
}

function parseDocument(text: string): { readonly document?: unknown; readonly fault?: Fault } {
  const lines = new LineCounter();
  const problem = (message: string): { readonly fault: Fault } => ({ fault: { field: "", message } });
  try {
    const parsed = parseAllDocuments(text, {
      schema: "core",
      merge: true,
      customTags: (tags) => [octalNumber, booleanWord, ...tags],
      lineCounter: lines,
      prettyErrors: false,
      logLevel: "silent",
    });
    const documents = Array.isArray(parsed) ? parsed : [];
    for (const { errors } of documents) {
      const [error] = errors;
      if (error !== undefined) return problem(`line ${lines.linePos(error.pos[0]).line}: ${error.message.split("\n")[0]}`);
    }
    const values = documents.map((d) => d.toJS() as unknown).filter((v) => v !== null && v !== undefined);
    if (values.length === 0) return problem("it is empty");
    if (values.length > 1) return problem(`it holds ${values.length} documents; give one`);
    return { document: values[0] };
  } catch (error) {
    return problem(error instanceof Error ? (error.message.split("\n")[0] ?? "not YAML") : String(error));
  }
}
