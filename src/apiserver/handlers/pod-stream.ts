import { badRequest, notFound } from "../../api/status-error.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import { type Answer, plainText } from "../answer.ts";
import type { Call } from "../call.ts";
import { keyOf } from "../registry.ts";

/** What the node calls each subresource. */
const nodePaths: Readonly<Record<string, string>> = { exec: "exec", attach: "attach", portforward: "portForward" };

/** A container's log, from the node that runs it. */
export async function podLog(call: Call): Promise<Answer> {
  const pod = podOf(call);
  const container = containerOf(call, pod);
  const node = pod.spec?.nodeName ?? "";
  if (node === "") return plainText("");
  const query = new URLSearchParams(call.query);
  query.delete("container");
  const path = `/containerLogs/${segments(call, container)}?${query}`;
  return call.context.nodes.send({ node, method: "GET", path, headers: call.headers, signal: call.signal });
}

/** exec, attach, portforward: the request goes to the node, the upgraded connection is joined with the client's. */
export async function podStream(call: Call): Promise<Answer> {
  const pod = podOf(call);
  const { subresource } = call.info;
  const node = pod.spec?.nodeName ?? "";
  if (node === "") throw badRequest(`pod ${call.info.name} does not have a host assigned`);
  const names =
    subresource === "portforward"
      ? `${encodeURIComponent(call.info.namespace)}/${encodeURIComponent(call.info.name)}`
      : segments(call, containerOf(call, pod));
  const query = new URLSearchParams(call.query);
  query.delete("container");
  const path = `/${nodePaths[subresource] ?? subresource}/${names}?${query}`;
  return call.context.nodes.send({ node, method: call.method, path, headers: call.headers, signal: call.signal });
}

/** Any path of the node's own API, as `kubectl get --raw /api/v1/nodes/NAME/proxy/…` asks for it. */
export async function nodeProxy(call: Call): Promise<Answer> {
  const { info, context, method, headers, signal } = call;
  const query = call.query.toString();
  const body = await call.body();
  return context.nodes.send({ node: info.name, method, path: `/${info.rest}${query === "" ? "" : `?${query}`}`, headers, body, signal });
}

function podOf(call: Call): Pod {
  const found = call.context.registry.find(call.resource, keyOf(call.info.namespace, call.info.name));
  if (found === undefined) throw notFound(call.resource, call.info.name);
  return found.object as Pod;
}

function containerOf(call: Call, pod: Pod): string {
  const { name } = call.info;
  const asked = call.query.get("container") ?? "";
  const main = (pod.spec?.containers ?? []).map((c) => c.name);
  const init = (pod.spec?.initContainers ?? []).map((c) => c.name);
  const debug = (pod.spec?.ephemeralContainers ?? []).map((c) => c.name);
  if (asked !== "") {
    if ([...main, ...init, ...debug].includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const [only] = main;
  if (only !== undefined && main.length === 1 && init.length === 0) return only;
  const marked = pod.metadata?.annotations?.["kubectl.kubernetes.io/default-container"];
  if (marked !== undefined && main.includes(marked)) return marked;
  const choices = `choose one of: [${main.join(" ")}]${init.length === 0 ? "" : ` or one of the init containers: [${init.join(" ")}]`}`;
  if (only === undefined || main.length > 1 || init.length > 0)
    throw badRequest(`a container name must be specified for pod ${name}, ${choices}`);
  return only;
}

function segments(call: Call, container: string): string {
  return [call.info.namespace, call.info.name, container].map(encodeURIComponent).join("/");
}
