// One proxy of the benchmark as a process of its own: node bench/ingress/proxy.program.ts NAME PAIR, where PAIR.crt and PAIR.key
// are there. NAME is fairway, portable, "fairway, logged" or http-proxy.
import { openSync, readFileSync, writeSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { AccessLog, startIngressServer } from "../../ingress/index.ts";
import { backendPorts, proxyPorts, sceneHosts } from "./ports.ts";
import { benchPool, benchRoute, fullDelta } from "./routes.ts";

const [name = "", pair = ""] = process.argv.slice(2);
const at = proxyPorts[name] ?? { http: 0, https: 0 };
if (name === "http-proxy") runHttpProxy();
else await runFairway();

async function runFairway(): Promise<void> {
  const logged = name.endsWith("logged") ? logTo(`${pair}.log`) : undefined;
  const server = startIngressServer({
    http: [{ ip: "127.0.0.1", port: at.http }],
    https: [{ ip: "127.0.0.1", port: at.https }],
    transport: name === "portable" ? "portable" : "auto",
    defaultCertificate: { certificate: readFileSync(`${pair}.crt`, "utf8"), key: readFileSync(`${pair}.key`, "utf8") },
    ...(logged === undefined ? {} : { accessLog: (entry) => logged.add(entry) }),
  });
  await server.ready;
  const plain = Array.from({ length: 10 }, (_, i) => `h${i}.test`).flatMap((host) =>
    ["/", "/a", "/b"].map((path) => benchRoute(host, path, { pool: "http" })),
  );
  const filtered = benchRoute(sceneHosts.filtered, "/", {
    pool: "http",
    filters: [
      { kind: "rateLimit", bucket: "bench", perMinute: 60_000_000, burst: 1_000_000, status: 503 },
      { kind: "rewrite", pattern: "^/old/(.*)$", ignoreCase: false, target: [{ kind: "text", text: "/older/$1" }] },
      { kind: "rewrite", pattern: "^/older/([a-z]+)/(.*)$", ignoreCase: false, target: [{ kind: "text", text: "/$1/$2" }] },
    ],
  });
  const grpc = benchRoute(sceneHosts.grpc, "/", { pool: "grpc" });
  const pools = [benchPool("http", backendPorts.http), benchPool("grpc", backendPorts.grpc)];
  server.apply(fullDelta([...plain, filtered, grpc], pools));
}

function logTo(file: string): AccessLog {
  const fd = openSync(file, "a");
  return new AccessLog("json", (lines) => {
    writeSync(fd, lines);
    return undefined;
  });
}

function runHttpProxy(): void {
  // the package has no types of its own
  const httpProxy = createRequire(import.meta.url)("http-proxy") as {
    createProxyServer(o: object): { web(request: IncomingMessage, response: ServerResponse): void };
  };
  const proxy = httpProxy.createProxyServer({ target: `http://127.0.0.1:${backendPorts.http}`, xfwd: true });
  createServer((request, response) => proxy.web(request, response)).listen(at.http, "127.0.0.1");
}
