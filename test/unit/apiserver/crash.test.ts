import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "fairway-crash-"));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  call(method: string, path: string, body?: object): Promise<{ readonly status: number; readonly body: Answer }>;
}

interface Answer {
  readonly metadata?: { readonly name?: string; readonly resourceVersion?: string };
  readonly spec?: { readonly clusterIP?: string; readonly ports?: readonly { readonly nodePort?: number }[] };
  readonly items?: readonly Answer[];
}

async function start(dataDir: string): Promise<Started> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "crash-server.ts"), dataDir], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text);
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  const { port, ca, certPem, keyPem } = JSON.parse(line) as { port: number; ca: string; certPem: string; keyPem: string };
  const agent = new Agent({ ca, cert: certPem, key: keyPem, keepAlive: true });
  return {
    child,
    call: (method, path, body) =>
      new Promise((resolve, reject) => {
        const text = body === undefined ? "" : JSON.stringify(body);
        const out = request({
          host: "127.0.0.1",
          port,
          agent,
          method,
          path,
          headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text) },
        });
        out.on("error", reject);
        out.on("response", (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) as Answer }),
          );
        });
        out.end(text);
      }),
  };
}

test("kill -9 while many write, and while one does: nothing acknowledged is lost, no address is given twice, the next server starts", async () => {
  const services = "/api/v1/namespaces/default/services";
  const acknowledged = new Map<string, Answer>();
  for (let round = 0; round < 2; round++) {
    const { child, call } = await start(folder);
    const here = await call("GET", services);
    const found = new Map((here.body.items ?? []).map((item) => [item.metadata?.name ?? "", item]));
    for (const [name, answer] of acknowledged) expect(found.get(name)).toEqual({ ...answer, apiVersion: "v1", kind: "Service" });
    let next = 0;
    let writing = true;
    const before = acknowledged.size;
    const died = new Promise((resolve) => child.once("exit", resolve));
    const writer = async (): Promise<void> => {
      while (writing) {
        const name = `s${round}-${next++}`;
        const reply = await call("POST", services, { metadata: { name }, spec: { type: "NodePort", ports: [{ port: 80 }] } }).catch(
          () => undefined,
        );
        if (reply?.status === 201) acknowledged.set(name, reply.body);
        if (reply === undefined) return;
        if (acknowledged.size - before >= 60 && writing) {
          writing = false;
          child.kill("SIGKILL");
        }
      }
    };
    await Promise.all(Array.from({ length: round === 0 ? 16 : 1 }, writer));
    await died;
  }
  const { call, child } = await start(folder);
  const items = (await call("GET", services)).body.items ?? [];
  expect(items.map((i) => i.metadata?.name)).toEqual(expect.arrayContaining([...acknowledged.keys()]));
  const ips = items.map((i) => i.spec?.clusterIP);
  const ports = items.flatMap((i) => i.spec?.ports ?? []).flatMap((p) => p.nodePort ?? []);
  expect([new Set(ips).size, new Set(ports).size]).toEqual([ips.length, ports.length]);
  expect(acknowledged.size).toBeGreaterThanOrEqual(120);
  child.kill("SIGKILL");
  // Three servers start in it, one after the other: on a loaded machine that alone takes longer than the others' limit.
}, 120_000);
