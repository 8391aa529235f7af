import { createServer, type Server } from "node:http";
import type { Running } from "../../src/base/running.ts";
import type { HttpAddress } from "../corefile/plugins/block-context.ts";
import type { DnsBlocks } from "../corefile/server-blocks.ts";

/** What the endpoints of `health`, `ready` and `prometheus` say. */
export interface EndpointSources {
  /** Names are known. */
  readonly isReady: () => boolean;
  /** The server is about to end, and clients are to go elsewhere: whatever it was before, it is not ready. */
  readonly isLeaving: () => boolean;
  readonly metrics: () => string;
}

export interface BlockEndpoints extends Running {
  /** Opens what other blocks want, closes what they do not. Rejects, and leaves what there was, when an address cannot be had. */
  configure(blocks: DnsBlocks): Promise<void>;
  /** Where each is served, for port 0. */
  readonly addresses: () => readonly (HttpAddress & { readonly path: string })[];
}

interface Endpoint {
  readonly server: Server;
  readonly address: HttpAddress;
  readonly path: string;
}

type Body = { readonly status: number; readonly text: string };

/**
 * HTTP endpoints of a Corefile's plugins: `/health`, `/ready` and `/metrics`, each at its own address. `isShared`: a process that takes
 * this one's place may open the same ones meanwhile.
 */
export function openBlockEndpoints(sources: EndpointSources, isShared = false): BlockEndpoints {
  let open = new Map<string, Endpoint>();
  let wasReady = false;

  const wantedOf = ({
    blocks,
  }: DnsBlocks): ReadonlyMap<string, { readonly address: HttpAddress; readonly path: string; readonly body: () => Body }> => {
    const wanted = new Map<string, { address: HttpAddress; path: string; body: () => Body }>();
    const add = (address: HttpAddress, path: string, body: () => Body): void => {
      wanted.set(`${address.host}:${address.port}${path}`, { address, path, body });
    };
    for (const p of blocks.flatMap((b) => b.plugins)) {
      if (p.plugin === "health") add(p.address, "/health", () => ({ status: 200, text: "OK" }));
      if (p.plugin === "prometheus") add(p.address, "/metrics", () => ({ status: 200, text: sources.metrics() }));
      if (p.plugin === "ready") {
        add(p.address, "/ready", () => {
          const isReady = sources.isReady();
          wasReady ||= isReady;
          const isServing = isReady || (wasReady && p.monitor === "until-ready");
          return isServing && !sources.isLeaving() ? { status: 200, text: "OK" } : { status: 503, text: "kubernetes" };
        });
      }
    }
    return wanted;
  };
  const close = async (endpoints: Iterable<Endpoint>): Promise<void> => {
    await Promise.all(
      Array.from(endpoints, ({ server }) => {
        const closed = new Promise<void>((resolve) => server.close(() => resolve()));
        server.closeAllConnections();
        return closed;
      }),
    );
  };
  return {
    ready: Promise.resolve(),
    addresses: () => Array.from(open.values(), ({ server, address, path }) => ({ ...address, path, port: portOf(server) ?? address.port })),
    configure: async (blocks) => {
      const wanted = wantedOf(blocks);
      const added = new Map<string, Endpoint>();
      try {
        for (const [id, { address, path, body }] of wanted) {
          if (!open.has(id)) added.set(id, { address, path, server: await listen({ address, path, isShared }, body) });
        }
      } catch (error) {
        await close(added.values());
        throw error;
      }
      const kept = Array.from(open).filter(([id]) => wanted.has(id));
      const gone = Array.from(open).filter(([id]) => !wanted.has(id));
      open = new Map([...kept, ...added]);
      await close(gone.map(([, endpoint]) => endpoint));
    },
    close: () => {
      const all = Array.from(open.values());
      open = new Map();
      return close(all);
    },
  };
}

async function listen(
  { address, path, isShared }: { readonly address: HttpAddress; readonly path: string; readonly isShared: boolean },
  body: () => Body,
): Promise<Server> {
  const server = createServer((request, response) => {
    const isThere = request.url?.split("?")[0] === path;
    const { status, text } = isThere ? body() : { status: 404, text: "not found" };
    response.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(text);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: address.port, reusePort: isShared, ...(address.host === "" ? {} : { host: address.host }) }, resolve);
  });
  return server;
}

function portOf(server: Server): number | undefined {
  const at = server.address();
  return typeof at === "object" && at !== null ? at.port : undefined;
}
