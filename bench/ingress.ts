// CPU per proxied request over 64 connections: fairway, on its fast and on its portable transport, beside nginx, haproxy
// (and, for small responses, npm http-proxy), in one run.
// 1 KiB and 100 KiB responses, 1 KiB over TLS, and a new connection for each request. The proxies run on one core, load and
// backend on another. Needs nginx, wrk and taskset on the machine; what is missing is named and left out.
// Usage: node bench/ingress.ts [seconds]
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { startIngressServer } from "../ingress/index.ts";
import { selfSignedCertificate } from "../ingress/proxy/default-certificate.ts";

/** Of the machine, not of the package. */
const programs = { nginx: "nginx", wrk: "wrk", taskset: "taskset" };
const ports: Readonly<Record<string, { readonly http: number; readonly https: number }>> = {
  nginx: { http: 18902, https: 18905 },
  fairway: { http: 18903, https: 18906 },
  portable: { http: 18907, https: 18908 },
  haproxy: { http: 18909, https: 18910 },
  "http-proxy": { http: 18904, https: 0 },
};
const backendPort = 18901;
const haproxyName = "haproxy";
const cores = { proxy: "0", load: "1" };
const role = process.argv[2] ?? "";
if (role === "fairway" || role === "portable") await runFairway();
else if (role === "http-proxy") runHttpProxy();
else await compare(Number(role || 2));

async function runFairway(): Promise<void> {
  const file = process.argv[3] ?? "";
  const server = startIngressServer({
    http: [{ ip: "127.0.0.1", port: portOf(role, false) }],
    https: [{ ip: "127.0.0.1", port: portOf(role, true) }],
    transport: role === "portable" ? "portable" : "auto",
    defaultCertificate: { certificate: readFileSync(`${file}.crt`, "utf8"), key: readFileSync(`${file}.key`, "utf8") },
  });
  await server.ready;
  const hosts = Array.from({ length: 10 }, (_, i) => `h${i}.test`);
  server.apply({
    revision: 1,
    full: true,
    routes: {
      upserts: hosts.flatMap((name) =>
        ["/", "/a", "/b"].map((path) => ({
          id: `${name}${path}`,
          object: { kind: "Ingress", namespace: "bench", name },
          rule: `${name}${path}`,
          host: { kind: "exact" as const, name },
          path: { kind: "prefix" as const, path },
          created: "",
          filters: [{ kind: "bodyLimit" as const, bytes: 1024 * 1024 }],
          action: {
            kind: "forward" as const,
            backends: [{ pool: "p", weight: 1 }],
            overrides: [],
            protocol: "http" as const,
            timeouts: { connectSeconds: 5, sendSeconds: 60, readSeconds: 60 },
            tries: 3,
            balance: "round_robin" as const,
          },
        })),
      ),
      deletes: [],
    },
    pools: {
      upserts: [{ id: "p", service: "bench/backend", port: 80, endpoints: [{ ip: "127.0.0.1", port: backendPort }] }],
      deletes: [],
    },
    certificates: { upserts: [], deletes: [] },
  });
}

function runHttpProxy(): void {
  // the package has no types of its own
  const httpProxy = createRequire(import.meta.url)("http-proxy") as {
    createProxyServer(o: object): { web(request: IncomingMessage, response: ServerResponse): void };
  };
  const proxy = httpProxy.createProxyServer({ target: `http://127.0.0.1:${backendPort}`, xfwd: true });
  createServer((request, response) => proxy.web(request, response)).listen(portOf("http-proxy", false), "127.0.0.1");
}

async function compare(seconds: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "fairway-bench-"));
  const children: ChildProcess[] = [];
  try {
    const missing = Object.values(programs).filter((p) => !["/usr/sbin", "/usr/bin", "/usr/local/bin"].some((d) => existsSync(join(d, p))));
    if (missing.length > 0) {
      console.log(`left out: this machine has no ${missing.join(", no ")}`);
      return;
    }
    const pair = join(dir, "pair");
    const { certificate, key } = selfSignedCertificate(Date.now());
    writeFileSync(`${pair}.crt`, certificate);
    writeFileSync(`${pair}.key`, key);
    writeFileSync(join(dir, "large"), "x".repeat(100 * 1024));
    children.push(
      nginx(
        dir,
        "backend",
        `server { listen 127.0.0.1:${backendPort}; keepalive_requests 1000000000; root ${dir}; location / { return 200 "${"x".repeat(1024)}"; } location = /large { } }`,
        cores.load,
      ),
    );
    const upstream = `upstream u { server 127.0.0.1:${backendPort}; keepalive 320; keepalive_requests 1000000000; }`;
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
    ]
      .map((h) => `proxy_set_header ${h};`)
      .join(" ");
    const location = `location / { proxy_http_version 1.1; proxy_set_header Connection ""; ${forwarded} proxy_buffering off; proxy_buffer_size 4k; proxy_pass http://u; }`;
    const proxyNginx = nginx(
      dir,
      "proxy",
      `${upstream} server { listen 127.0.0.1:${portOf("nginx", false)} backlog=4096; listen 127.0.0.1:${portOf("nginx", true)} ssl backlog=4096; ssl_certificate ${pair}.crt; ssl_certificate_key ${pair}.key; ssl_protocols TLSv1.2 TLSv1.3; keepalive_requests 1000000000; ${location} }`,
      cores.proxy,
    );
    children.push(proxyNginx);
    const fairway = pinned(cores.proxy, process.execPath, [import.meta.filename, "fairway", pair]);
    const portable = pinned(cores.proxy, process.execPath, [import.meta.filename, "portable", pair]);
    const haproxy = existsSync(`/usr/sbin/${haproxyName}`) ? startHaproxy(dir, pair) : undefined;
    if (haproxy === undefined) console.log(`left out: this machine has no ${haproxyName}`);
    else children.push(haproxy);
    const other = pinned(cores.proxy, process.execPath, [import.meta.filename, "http-proxy"]);
    children.push(fairway, portable, other);
    await open(backendPort);
    const plain = { path: "/a/x", tls: false, fresh: false };
    const beside = { nginx: proxyNginx, ...(haproxy === undefined ? {} : { haproxy }), fairway, portable };
    const scenes: readonly (readonly [string, Scene, Readonly<Record<string, ChildProcess>>])[] = [
      ["1 KiB, kept connections", plain, { ...beside, "http-proxy": other }],
      ["100 KiB, kept connections", { ...plain, path: "/large" }, beside],
      ["1 KiB, kept TLS connections", { ...plain, tls: true }, beside],
      ["1 KiB, a new connection each", { ...plain, fresh: true }, beside],
    ];
    for (const [title, scene, proxies] of scenes) {
      console.log(`${title} (load average ${(loadavg()[0] ?? 0).toFixed(1)})`);
      let base = 0;
      for (const [name, child] of Object.entries(proxies)) base = await measure(name, child, { scene, seconds, base });
    }
  } finally {
    for (const c of children) c.kill("SIGTERM");
    rmSync(dir, { recursive: true, force: true });
  }
}

interface Scene {
  readonly path: string;
  readonly tls: boolean;
  /** Each request on a connection of its own. */
  readonly fresh: boolean;
}

/** Prints one line; gives the CPU time of the first proxy of the scene. */
async function measure(name: string, child: ChildProcess, o: { scene: Scene; seconds: number; base: number }): Promise<number> {
  const { scene, seconds } = o;
  const port = portOf(name, scene.tls);
  await open(port);
  await load(port, scene, 2); // compilers are done by then
  const before = cpuMs(child.pid ?? 0);
  const requests = await load(port, scene, seconds);
  const after = cpuMs(child.pid ?? 0);
  const user = ((after.user - before.user) * 1000) / requests;
  const system = ((after.system - before.system) * 1000) / requests;
  const micros = user + system;
  const base = o.base || micros;
  console.log(
    `  ${name.padEnd(12)} ${micros.toFixed(1).padStart(7)} µs CPU a request (${user.toFixed(1)} user, ${system.toFixed(1)} system)   ${(micros / base).toFixed(2)} × nginx   ${Math.round(requests / seconds)} requests/s`,
  );
  return base;
}

function portOf(name: string, tls: boolean): number {
  return ports[name]?.[tls ? "https" : "http"] ?? 0;
}

/** The program itself, not a shell: its process id is the child's. */
function pinned(core: string, program: string, args: readonly string[]): ChildProcess {
  return spawn(programs.taskset, ["-c", core, program, ...args], { stdio: ["ignore", "ignore", "inherit"] });
}

/** One process, no master: its CPU is that of the proxying. */
function nginx(dir: string, name: string, http: string, core: string): ChildProcess {
  const file = join(dir, `${name}.conf`);
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((t) => `${t}_temp_path ${join(dir, name)}-${t};`).join(" ");
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${join(dir, name)}.pid; error_log ${join(dir, name)}.log; events { worker_connections 4096; } http { access_log off; ${temp} ${http} }`,
  );
  return pinned(core, programs.nginx, ["-c", file, "-e", join(dir, `${name}.log`)]);
}

/** One thread, with the same forwarding headers. */
function startHaproxy(dir: string, pair: string): ChildProcess {
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
  bind 127.0.0.1:${portOf("haproxy", false)}
  bind 127.0.0.1:${portOf("haproxy", true)} ssl crt ${join(dir, "haproxy.pem")}
  option forwardfor
${set.map((h) => `  http-request set-header ${h}`).join("\n")}
  default_backend b
backend b
  server s 127.0.0.1:${backendPort} pool-max-conn 320
`,
  );
  return pinned(cores.proxy, haproxyName, ["-f", join(dir, "haproxy.cfg")]);
}

function cpuMs(pid: number): { user: number; system: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return { user: Number(fields[11]) * 10, system: Number(fields[12]) * 10 };
}

async function load(port: number, scene: Scene, seconds: number): Promise<number> {
  const { stdout } = await promisify(execFile)(programs.taskset, [
    "-c",
    cores.load,
    programs.wrk,
    "-t1",
    "-c64",
    `-d${Math.ceil(seconds)}s`,
    "-H",
    "Host: h3.test",
    ...(scene.fresh ? ["-H", "Connection: close"] : []),
    `${scene.tls ? "https" : "http"}://127.0.0.1:${port}${scene.path}`,
  ]);
  if (/Non-2xx/.test(stdout)) throw new Error(stdout);
  return Number(/([0-9]+) requests in/.exec(stdout)?.[1] ?? 0);
}

async function open(port: number): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("close", () => undefined);
      setTimeout(() => socket.destroy(), 50);
    });
    if (there) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}
