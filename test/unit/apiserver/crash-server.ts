// A server in a process of its own, to be killed: tells where it listens and an admin's credentials in one line of JSON.
import { startApiServer } from "../../../src/apiserver/server.ts";
import { parseCidr } from "../../../src/base/cidr.ts";

const server = await startApiServer({
  dataDir: process.argv[2] ?? "",
  bind: [{ ip: "127.0.0.1", port: 0 }],
  advertise: ["192.0.2.1"],
  serviceCidrs: ["10.96.0.0/16"].flatMap((text) => parseCidr(text) ?? []),
});
const admin = await server.pki.issueClientCert("admin", ["system:masters"]);
process.stdout.write(`${JSON.stringify({ port: server.port, ca: server.pki.caPem, ...admin })}\n`);
