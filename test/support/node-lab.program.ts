// A node's agent with an API in memory, for tests: started inside the node's network namespace, spoken to over IPC.
import { startNode } from "../../src/node/main.ts";
import { MemoryApi } from "./memory-api.ts";
import type { LabConfig, LabReply, LabRequest } from "./node-lab.ts";

const config = JSON.parse(process.argv[2] ?? "{}") as LabConfig;
const api = new MemoryApi();
api.now = () => Date.now();
const gone: string[] = [];
const reply = (message: LabReply): void => void process.send?.(message);
const original = api.request.bind(api);
// The one subresource that nodes ask for and the memory API has not.
const transport: Pick<MemoryApi, "request"> = {
  request: (r, s) =>
    /\/serviceaccounts\/[^/]+\/token$/.test(r.path)
      ? Promise.resolve({
          status: 201,
          headers: {},
          body: (async function* () {
            const expirationTimestamp = new Date(Date.now() + 3_600_000).toISOString();
            yield Buffer.from(JSON.stringify({ status: { token: `token-for-${r.path.split("/").at(-2)}`, expirationTimestamp } }));
          })(),
        })
      : original(r, s),
};
for (const line of config.objects) {
  await original({ method: "POST", path: line.path, body: JSON.stringify(line.object) }, AbortSignal.timeout(60_000));
}
const node = await startNode(
  {
    nodeName: config.nodeName,
    nodeIps: config.nodeIps,
    transport,
    dataDir: config.dataDir,
    clusterDns: ["10.243.0.10"],
    clusterDomain: "cluster.local",
    imagesFile: config.imagesFile,
    api: config.api,
    runtime: { nodeBinary: process.execPath, distFolder: config.distFolder },
    version: "v1.36.0+fairway",
  },
  {
    log: { info: (m) => console.error(m), warn: (m, f) => console.error(m, JSON.stringify(f)) },
    endpointGone: async ({ ips }) => void gone.push(...ips),
  },
);
process.on("message", (message: LabRequest) => {
  void (async () => {
    if (message.kind === "close") {
      await node.close();
      reply({ id: message.id, status: 200, body: JSON.stringify(gone) });
      process.disconnect?.();
      return;
    }
    if (message.kind === "stopPods") {
      await node.stopPods(message.graceSeconds);
      reply({ id: message.id, status: 200, body: "{}" });
      return;
    }
    const answer = await original(
      { method: message.method, path: message.path, ...(message.body === "" ? {} : { body: message.body }), headers: message.headers },
      AbortSignal.timeout(60_000),
    );
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    reply({ id: message.id, status: answer.status, body: Buffer.concat(chunks).toString() });
  })();
});
await node.ready;
reply({ id: 0, status: 200, body: "ready" });
