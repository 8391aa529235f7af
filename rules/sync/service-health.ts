import { createServer, type Server } from "node:http";
import type { Ip } from "../../src/base/ip.ts";
import { findListener } from "../../src/kernel/listener.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { compareSeniority, type HealthCheck } from "../plan/service-plan.ts";

/** What a load balancer is told about one Service on this node. */
export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly weight: number;
  readonly body: {
    readonly service: { readonly namespace: string; readonly name: string };
    readonly localEndpoints: number;
    readonly serviceProxyHealthy: boolean;
  };
}

/** Pure: 200 while this node has ready endpoints of its own and its rules are kept current. */
export function healthAnswer(check: HealthCheck, proxyHealthy: boolean): HealthAnswer {
  const { namespace, name, localEndpoints } = check;
  return {
    status: localEndpoints > 0 && proxyHealthy ? 200 : 503,
    weight: localEndpoints,
    body: { service: { namespace, name }, localEndpoints, serviceProxyHealthy: proxyHealthy },
  };
}

interface Listening {
  readonly server: Server;
  readonly ip: Ip;
  readonly port: number;
  /** Why the port could not be had; of a new try, until it is known: why it could not before. */
  error: string | undefined;
  trying: boolean;
}

/** HTTP servers on the `healthCheckNodePort`s of load balancers with external traffic policy Local. */
export class ServiceHealth {
  readonly #proxyHealthy: () => boolean;
  readonly #onProblems: () => void;
  #checks: ReadonlyMap<number, HealthCheck> = new Map();
  readonly #listening = new Map<string, Listening>();

  /** `onProblems`: called when a port could not be had. */
  constructor(proxyHealthy: () => boolean, onProblems: () => void = () => undefined) {
    this.#proxyHealthy = proxyHealthy;
    this.#onProblems = onProblems;
  }

  /** `ips`: where to listen; empty, or `::` among them: everywhere. Ports no longer wanted are closed at once. */
  update(checks: Iterable<HealthCheck>, ips: readonly Ip[]): void {
    const wanted = new Map<number, HealthCheck>();
    for (const check of checks) {
      const other = wanted.get(check.port);
      if (other === undefined || compareSeniority(check, other) < 0) wanted.set(check.port, check);
    }
    this.#checks = wanted;
    const places = ips.length === 0 || ips.includes("::") ? ["::"] : ips;
    const keep = new Set<string>();
    for (const port of wanted.keys()) {
      for (const ip of places) {
        const id = `${ip} ${port}`;
        keep.add(id);
        if (!this.#listening.has(id)) this.#listening.set(id, this.#listen(ip, port));
      }
    }
    for (const [id, { server }] of this.#listening) {
      if (keep.has(id)) continue;
      server.close();
      server.closeAllConnections();
      this.#listening.delete(id);
    }
    this.retry();
  }

  /** Tries ports anew that could not be had. */
  retry(): void {
    for (const [id, { ip, port, error, trying }] of this.#listening) {
      if (error !== undefined && !trying) this.#listening.set(id, this.#listen(ip, port, error));
    }
  }

  problems(): readonly Problem[] {
    return [...this.#listening.values()].flatMap(({ error, port }) => {
      const check = this.#checks.get(port);
      if (error === undefined || check === undefined) return [];
      return [
        {
          object: { kind: "Service", namespace: check.namespace, name: check.name },
          field: "spec.healthCheckNodePort",
          reason: "HealthCheckUnavailable",
          message: `the health check port ${port} cannot be served: ${error}; load balancers will take this node for unhealthy`,
        },
      ];
    });
  }

  close(): void {
    this.update([], []);
  }

  #listen(ip: Ip, port: number, before?: string): Listening {
    const server = createServer((_, response) => {
      const check = this.#checks.get(port);
      if (check === undefined) {
        response.writeHead(503).end();
        return;
      }
      const { status, weight, body } = healthAnswer(check, this.#proxyHealthy());
      const text = JSON.stringify(body, undefined, "\t");
      response.writeHead(status, {
        "Content-Type": "application/json",
        "Content-Length": Buffer.byteLength(text),
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": String(weight),
      });
      response.end(text);
    });
    const listening: Listening = { server, ip, port, error: before, trying: true };
    server.on("listening", () => {
      listening.trying = false;
      listening.error = undefined;
      if (before !== undefined) this.#onProblems();
    });
    server.on("error", (error: NodeJS.ErrnoException) => {
      listening.trying = false;
      listening.error = error.code === "EADDRINUSE" ? `${holderOf(ip, port)} has it` : (error.code ?? error.message);
      this.#onProblems();
    });
    server.listen({ host: ip, port });
    return listening;
  }
}

function holderOf(ip: Ip, port: number): string {
  const who = findListener({ ip, port, type: "tcp" });
  return who === undefined ? "another program" : `process ${who.pid} (${who.command})`;
}
