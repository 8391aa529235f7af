import { get } from "node:http";
import type { BackendFigures } from "../../ingress/index.ts";
import { printHostPort } from "../base/ip.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";
import { figuresOf, parseFigures } from "./backend-figures.ts";

/** Where an agent tells what its ingress processes counted of one Service: `/backend-figures?service=namespace/name`. */
export const figuresPath = "/backend-figures";

export interface NodeFiguresConfig {
  readonly store: SnapshotStore;
  readonly nodeName: string;
  /** Where each node's agent answers. */
  readonly port: number;
  /** Metrics of this node's own processes. */
  readonly own: () => Promise<readonly string[]>;
}

/** What each node has counted of a Service. Nodes whose agent does not answer within a second are left out. */
export async function nodeFigures(
  c: NodeFiguresConfig,
  service: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, BackendFigures>> {
  const others = [...c.store.current.tables.Node.values()].flatMap((node) => {
    const name = node.metadata?.name ?? "";
    const ip = node.status?.addresses?.find((a) => a.type === "InternalIP")?.address;
    return name === c.nodeName || ip === undefined ? [] : [{ name, url: `http://${printHostPort(ip, c.port)}${figuresPath}` }];
  });
  const own = c.own().then((texts) => [c.nodeName, figuresOf(texts, service)] as const);
  const told = others.map(async ({ name, url }) => [name, await ask(`${url}?service=${encodeURIComponent(service)}`, signal)] as const);
  const all = await Promise.all([own, ...told]);
  return new Map(all.flatMap(([name, figures]) => (figures === undefined ? [] : [[name, figures] as const])));
}

function ask(url: string, signal: AbortSignal): Promise<BackendFigures | undefined> {
  return new Promise((resolve) => {
    const request = get(url, { timeout: 1000, signal }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("error", () => resolve(undefined));
      response.on("end", () => resolve(response.statusCode === 200 ? readFigures(text) : undefined));
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(undefined));
  });
}

function readFigures(text: string): BackendFigures | undefined {
  try {
    return parseFigures(text);
  } catch {
    return undefined;
  }
}
