/** Where each proxy and backend of the benchmark listens on loopback. */
export const backendPorts = { http: 18901, grpc: 18911 } as const;

export interface ProxyPorts {
  readonly http: number;
  readonly https: number;
}

export const proxyPorts: Readonly<Record<string, ProxyPorts>> = {
  nginx: { http: 18902, https: 18905 },
  fairway: { http: 18903, https: 18906 },
  portable: { http: 18907, https: 18908 },
  haproxy: { http: 18909, https: 18910 },
  "http-proxy": { http: 18904, https: 0 },
  "nginx, logged": { http: 18912, https: 0 },
  "fairway, logged": { http: 18913, https: 18914 },
};

/** Hosts that stand for scenes: plain ones, gRPC, and one with a rate limit and two rewrites. */
export const sceneHosts = { plain: "h3.test", filtered: "filtered.test", grpc: "grpc.test" } as const;
