/** Added to each port: `BENCH_PORT_OFFSET=100` lets one run stand beside another. */
const offset = Number(process.env["BENCH_PORT_OFFSET"] ?? 0);

/** Where each proxy and backend of the benchmark listens on loopback. */
export const backendPorts = { http: 18901 + offset, grpc: 18911 + offset } as const;

export interface ProxyPorts {
  readonly http: number;
  readonly https: number;
}

export const proxyPorts: Readonly<Record<string, ProxyPorts>> = {
  nginx: { http: 18902 + offset, https: 18905 + offset },
  fairway: { http: 18903 + offset, https: 18906 + offset },
  portable: { http: 18907 + offset, https: 18908 + offset },
  haproxy: { http: 18909 + offset, https: 18910 + offset },
  "http-proxy": { http: 18904 + offset, https: 0 },
  "nginx, logged": { http: 18912 + offset, https: 0 },
  "fairway, logged": { http: 18913 + offset, https: 18914 + offset },
};

/** Hosts that stand for scenes: plain ones, gRPC, and one with a rate limit and two rewrites. */
export const sceneHosts = { plain: "h3.test", filtered: "filtered.test", grpc: "grpc.test" } as const;
