import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensurePki, printKubeconfig } from "../../src/apiserver/pki.ts";
import { type CommandResult, eventually } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";
import { openRoleLab, type RoleLab, type RoleProcess } from "../support/role-lab.ts";

const lack = lacking("ip", "kubectl", "curl");
const ip = "172.30.121.1";
const server = `https://${ip}:7400`;
const program = join(import.meta.dirname, "../support/hostile-endpoint.program.ts");
/** Ports of two ingresses, each over its transport; for TLS, on which clients speak HTTP/2, ten above. */
const transports = { auto: 7480, portable: 7481 } as const;
type Client = "HTTP/1" | "HTTP/2";

const objects = `
apiVersion: v1
kind: Service
metadata: {name: hostile}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: hostile-1, labels: {kubernetes.io/service-name: hostile}}
addressType: IPv4
ports: [{port: 8080, protocol: TCP}]
endpoints: [{addresses: [${ip}], conditions: {ready: true}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: hostile, annotations: {nginx.ingress.kubernetes.io/proxy-read-timeout: "5"}}
spec:
  ingressClassName: fairway
  rules: [{host: hostile.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: hostile, port: {number: 80}}}}]}}]
`;

/** What a client gets of what an endpoint does (hostile-endpoint.program.ts); `cut`: an answer that it can tell from a whole one. */
const outcomes: Readonly<Record<"200" | "204" | "304" | "502" | "504" | "cut", readonly string[]>> = {
  200: ["good", "good-chunked", "good-close", "surplus", "surplus-later", "surplus-chunked"],
  204: ["body-of-204"],
  304: ["body-of-304"],
  502: [
    ...["cut-head", "cut-hints", "hang-up", "reset", "no-http", "http-0.9", "http-2", "two-lengths", "length-list", "no-length"],
    ...["length-and-chunks", "unknown-coding", "bare-lf", "folded", "space-before-colon", "nul", "uninvited-switch"],
    ...["endless-hints", "endless-head", "endless-line"],
  ],
  504: ["slow-head", "silent"],
  cut: [
    ...["cut-length", "reset-length", "cut-chunk", "cut-between-chunks", "cut-trailers", "reset-close", "bad-chunk", "chunk-too-long"],
    ...["bad-trailers", "endless-extension", "endless-trailers", "silent-in-body"],
  ],
};
const ways = Object.values(outcomes).flat();

/** Sends the head of a request and a part of its body, and waits for the end of the answer and of what carried it. */
const askWithoutEnd = `
const [ip, port, kind] = process.argv.slice(1);
const headers = { "content-length": "500000" };
const say = (...words) => console.log(words.join(" "));
if (kind === "HTTP/1") {
  const request = require("node:http").request({ host: ip, port, path: "/early-good?early", method: "POST", agent: false, headers: { host: "hostile.test", ...headers } });
  request.on("response", (r) => {
    let body = "";
    r.on("data", (d) => (body += d)).on("end", () => say(r.statusCode, body, r.headers.connection));
    r.socket.on("close", () => say("closed"));
  });
  request.write(Buffer.alloc(1000));
} else {
  const session = require("node:http2").connect("http://" + ip + ":" + port);
  const stream = session.request({ ":method": "POST", ":path": "/early-good?early", ":authority": "hostile.test", ...headers });
  let status, body = "";
  stream.on("response", (h) => (status = h[":status"])).on("data", (d) => (body += d)).on("end", () => say(status, body, "close"));
  stream.on("close", () => { say(stream.rstCode === 0 ? "closed" : "reset with " + stream.rstCode); session.close(); });
  stream.write(Buffer.alloc(1000));
}`;

interface Got {
  readonly exit: number;
  readonly status: string;
  readonly body: string;
}

describe.skipIf(lack !== undefined)(`endpoints that break HTTP${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let lab: RoleLab;
  const started: RoleProcess[] = [];
  let kubeconfig: string;
  const kubectl = (...args: readonly string[]): Promise<CommandResult> => lab.run("kubectl", "--kubeconfig", kubeconfig, ...args);

  beforeAll(async () => {
    lab = await openRoleLab("e2e-hostile", ip);
    const pki = await ensurePki(join(lab.folder, "api"), { dnsNames: [], ips: [ip, "10.109.0.1"] });
    const admin = await pki.issueClientCert("admin", ["system:masters"]);
    kubeconfig = lab.file("admin", printKubeconfig({ server, caPem: pki.caPem, contextName: "lab", ...admin }));
    lab.serve(process.execPath, program);
    started.push(
      lab.start(
        ...["apiserver", "--data-dir", join(lab.folder, "api"), "--bind-address", ip, "--secure-port", "7400"],
        ...["--service-cluster-ip-range", "10.109.0.0/16"],
      ),
    );
    await eventually(async () => (await kubectl("get", "--raw", "/readyz")).stdout === "ok" || undefined, { what: "API server ready" });
    expect(await kubectl("apply", "-f", lab.file("objects.yaml", objects))).toMatchObject({ code: 0, stderr: "" });
    for (const [transport, port] of Object.entries(transports))
      started.push(
        lab.start(
          ...["ingress", "--kubeconfig", kubeconfig, "--node-name", transport, "--run-dir", join(lab.folder, `run-${transport}`)],
          ...["--bind", ip, "--http-port", String(port), "--https-port", String(port + 10), "--metrics-port", String(port + 20)],
          ...["--ingress-processes", "1", "--ingress-transport", transport],
        ),
      );
    for (const port of Object.values(transports))
      await eventually(async () => (await askAll(port, "HTTP/1", ["good"])).get("good")?.status === "200" || undefined, {
        what: `the route at port ${port}`,
      });
  });
  afterAll(async () => {
    const ends = await Promise.all(started.toReversed().map((role) => role.end()));
    await lab?.close();
    expect(ends).toEqual(started.map(() => 0));
  });

  let asked = 0;
  /** All of these, ten at once, over as few connections as curl needs; each with a token that only its own answer has. */
  async function askAll(port: number, client: Client, names: readonly string[]): Promise<ReadonlyMap<string, Got>> {
    const nth = ++asked;
    const folder = `asked-${nth}`;
    const to = client === "HTTP/1" ? `http://hostile.test:${port}` : `https://hostile.test:${port + 10}`;
    const lines = names.flatMap((way, i) => [
      ...(i === 0 ? [] : ["next"]),
      ...[`url = "${to}/${way}?t${nth}x${i}"`, `output = "${join(lab.folder, folder, String(i))}"`, "create-dirs"],
      ...[`connect-to = "::${ip}:"`, "insecure", client === "HTTP/1" ? "http1.1" : "http2", "max-time = 120", "silent"],
      `write-out = "${i} %{exitcode} %{response_code}\\n"`,
    ]);
    const done = await lab.run("curl", "-Z", "--parallel-max", "10", "-K", lab.file(`${folder}.curl`, lines.join("\n")));
    const got = new Map<string, Got>();
    for (const line of done.stdout.trim().split("\n")) {
      const [i = "", exit, status = ""] = line.split(" ");
      const token = `t${nth}x${i}`;
      const body = textOf(join(lab.folder, folder, i));
      got.set(names[Number(i)] ?? "", { exit: Number(exit), status, body: body === token ? "token" : body });
    }
    return got;
  }

  const kinds = Object.entries(transports).flatMap(([transport, port]) =>
    (["HTTP/1", "HTTP/2"] as const).map((client) => ({ transport, port, client })),
  );

  test.concurrent.for(kinds)("each does harm to its own request only: $transport, $client", async ({ port, client }) => {
    // from here on the endpoint is known to say more than it is asked for, and gets a connection for each request: its
    // late words find none
    expect(outcomeOf((await askAll(port, client, ["surplus"])).get("surplus"))).toBe("200");
    // good ones between them
    const mixed = ways.flatMap((way, i) => (i % 2 === 0 ? [way, `more${i}/good`] : [way]));
    const got = await askAll(port, client, mixed);
    const seen = mixed.map((way) => `${way}: ${outcomeOf(got.get(way))}`);
    const wanted = (way: string): string =>
      way.endsWith("/good") ? "200" : (Object.entries(outcomes).find(([, names]) => names.includes(way))?.[0] ?? "");
    expect(seen).toEqual(mixed.map((way) => `${way}: ${wanted(way)}`));
    const after = Array.from({ length: 20 }, (_, i) => `after${i}/good`);
    expect([...(await askAll(port, client, after)).values()].map(outcomeOf)).toEqual(after.map(() => "200"));
  });

  test.for(kinds)("an answer before the end of the request ends both connections: $transport, $client", async ({ port, client }) => {
    const { stdout, stderr } = await lab.run(process.execPath, "-e", askWithoutEnd, ip, String(port), client);
    expect(stdout + stderr).toBe("200 early close\nclosed\n");
    // its endpoint reads no more of that connection
    expect(outcomeOf((await askAll(port, client, ["good"])).get("good"))).toBe("200");
  });
});

/** A status with all of its own body, `cut` where the client was told that it is not all, or what is wrong. */
function outcomeOf(got: Got | undefined): string {
  if (got === undefined) return "nothing";
  const { exit, status, body } = got;
  if (body.includes("stolen")) return "what is another's";
  if (exit === 0 && status === "200") return body === "token" ? "200" : `200 with ${body}`;
  if (exit === 0 && (status === "204" || status === "304")) return body === "" ? status : `${status} with ${body}`;
  if (exit === 0 && body.includes(`<title>${status} `)) return status;
  // 18: less than its length; 56 and 92: the connection, the stream was reset
  if ([18, 56, 92].includes(exit) && (body === "" || body === "token")) return "cut";
  return `exit ${exit}, ${status} with ${body}`;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}
