import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backendPorts, proxyPorts, sceneHosts } from "./ports.ts";

export const cores = { proxy: "0", load: "1" } as const;

/** The program itself, not a shell: its process id is the child's. */
export function pinned(core: string, program: string, args: readonly string[]): ChildProcess {
  return spawn("taskset", ["-c", core, program, ...args], { stdio: ["ignore", "ignore", "inherit"] });
}

export function hasProgram(name: string): boolean {
  return ["/usr/sbin", "/usr/bin", "/usr/local/bin"].some((d) => existsSync(join(d, name)));
}

/** What all proxies ask: 1 KiB, 100 KiB at /large, and an answer of gRPC. */
export function startBackend(dir: string): ChildProcess {
  writeFileSync(join(dir, "large"), "x".repeat(100 * 1024));
  const small = "x".repeat(1024);
  // five bytes: an empty message
  const message = '"\\0\\0\\0\\0\\0"';
  return nginx(dir, "backend", cores.load, [
    `server { listen 127.0.0.1:${backendPorts.http}; keepalive_requests 1000000000; root ${dir}; location / { return 200 "${small}"; } location = /large { } }`,
    `server { listen 127.0.0.1:${backendPorts.grpc} http2; keepalive_requests 1000000000; location / { default_type application/grpc; add_trailer grpc-status 0; return 200 ${message.replaceAll("\\0", "0")}; } }`,
  ]);
}

const forwarded = [
  "X-Request-ID $request_id",
  "X-Real-IP $remote_addr",
  "X-Forwarded-For $remote_addr",
  "X-Forwarded-Host $http_host",
  "X-Forwarded-Port $server_port",
  "X-Forwarded-Proto $scheme",
  "X-Forwarded-Scheme $scheme",
  "X-Scheme $scheme",
  "Host $http_host",
];

/** One worker, unbuffered, with the forwarding headers of ingress-nginx; `logged`: with its access log. */
export function startNginx(dir: string, pair: string, name: "nginx" | "nginx, logged"): ChildProcess {
  const ports = proxyPorts[name] ?? { http: 0, https: 0 };
  const headers = forwarded.map((h) => `proxy_set_header ${h};`).join(" ");
  const pass = `proxy_http_version 1.1; proxy_set_header Connection ""; ${headers} proxy_buffering off; proxy_buffer_size 4k; proxy_pass http://u;`;
  const grpc = `${forwarded.map((h) => `grpc_set_header ${h};`).join(" ")} grpc_pass grpc://g;`;
  const secure =
    ports.https === 0
      ? ""
      : `listen 127.0.0.1:${ports.https} ssl http2 backlog=4096; ssl_certificate ${pair}.crt; ssl_certificate_key ${pair}.key; ssl_protocols TLSv1.2 TLSv1.3;`;
  const open = `listen 127.0.0.1:${ports.http} backlog=4096; ${secure} keepalive_requests 1000000000; http2_max_concurrent_streams 128;`;
  const rewrites = 'rewrite "^/old/(.*)$" /older/$1; rewrite "^/older/([a-z]+)/(.*)$" /$1/$2 break;';
  const log =
    name === "nginx"
      ? []
      : [
          `log_format upstreaminfo '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$host] [] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $request_id';`,
          `access_log ${join(dir, "access.log")} upstreaminfo buffer=64k flush=1s;`,
        ];
  return nginx(dir, name.replace(", ", "-"), cores.proxy, [
    ...log,
    "limit_req_zone $binary_remote_addr zone=z:10m rate=1000000r/s;",
    `upstream u { server 127.0.0.1:${backendPorts.http}; keepalive 320; keepalive_requests 1000000000; }`,
    `upstream g { server 127.0.0.1:${backendPorts.grpc}; keepalive 320; keepalive_requests 1000000000; }`,
    `server { ${open} server_name h3.test; location / { ${pass} } }`,
    `server { ${open.replaceAll(" backlog=4096", "")} server_name ${sceneHosts.filtered}; limit_req zone=z burst=1000000 nodelay; location / { ${rewrites} ${pass} } }`,
    `server { ${open.replaceAll(" backlog=4096", "")} server_name ${sceneHosts.grpc}; location / { ${grpc} } }`,
  ]);
}

/** One process, no master: its CPU is that of the proxying. */
function nginx(dir: string, name: string, core: string, http: readonly string[]): ChildProcess {
  const file = join(dir, `${name}.conf`);
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((t) => `${t}_temp_path ${join(dir, name)}-${t};`).join(" ");
  const log = http.some((line) => line.startsWith("access_log")) ? "" : "access_log off;";
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${join(dir, name)}.pid; error_log ${join(dir, name)}.log; worker_rlimit_nofile 20000; events { worker_connections 16000; } http { ${log} ${temp} ${http.join(" ")} }`,
  );
  return pinned(core, "nginx", ["-c", file, "-e", join(dir, `${name}.log`)]);
}

/** One thread, with the same forwarding headers. */
export function startHaproxy(dir: string, pair: string): ChildProcess {
  const ports = proxyPorts["haproxy"] ?? { http: 0, https: 0 };
  writeFileSync(join(dir, "haproxy.pem"), `${readFileSync(`${pair}.crt`, "utf8")}${readFileSync(`${pair}.key`, "utf8")}`);
  const set = [
    "X-Request-ID %[uuid()]",
    "X-Real-IP %[src]",
    "X-Forwarded-Host %[req.hdr(host)]",
    "X-Forwarded-Port %[dst_port]",
    "X-Forwarded-Proto %[ssl_fc,iif(https,http)]",
    "X-Forwarded-Scheme %[ssl_fc,iif(https,http)]",
    "X-Scheme %[ssl_fc,iif(https,http)]",
  ];
  writeFileSync(
    join(dir, "haproxy.cfg"),
    `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:${ports.http}
  bind 127.0.0.1:${ports.https} ssl crt ${join(dir, "haproxy.pem")} alpn h2,http/1.1
  option forwardfor
${set.map((h) => `  http-request set-header ${h}`).join("\n")}
  default_backend b
backend b
  server s 127.0.0.1:${backendPorts.http} pool-max-conn 320
`,
  );
  return pinned(cores.proxy, "haproxy", ["-f", join(dir, "haproxy.cfg")]);
}
