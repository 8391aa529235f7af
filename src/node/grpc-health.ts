import { connect, type IncomingHttpHeaders } from "node:http2";
import { type Ip, printHostPort } from "../base/ip.ts";

/** grpc/health/v1/health.proto: HealthCheckResponse.ServingStatus. */
const serving = 1;
const statusNames = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;
const maxAnswer = 64 * 1024;

/** Asks grpc.health.v1.Health/Check, without TLS as the kubelet does. Resolves with what is wrong, or nothing; never rejects. */
export function checkGrpcHealth(
  ip: Ip,
  port: number,
  service: string,
  signal: AbortSignal,
): Promise<{ readonly message: string; readonly refused: boolean } | undefined> {
  return new Promise((resolve) => {
    const session = connect(`http://${printHostPort(ip, port)}`);
    const finish = (message?: string, refused = false): void => {
      signal.removeEventListener("abort", late);
      session.destroy();
      resolve(message === undefined ? undefined : { message, refused });
    };
    const late = (): void => finish(`timeout: failed to connect service "${printHostPort(ip, port)}" within its time`);
    signal.addEventListener("abort", late, { once: true });
    session.on("error", (e: NodeJS.ErrnoException) => finish(`connection error: ${e.message}`, e.code === "ECONNREFUSED"));
    const request = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "kube-probe/1.36",
    });
    const chunks: Buffer[] = [];
    let size = 0;
    // A failed call may have its status in the only header block there is.
    let status: string | undefined;
    const heed = (headers: IncomingHttpHeaders): void => {
      const given = headers["grpc-status"];
      if (typeof given === "string") status = given;
    };
    request.on("response", heed);
    request.on("trailers", heed);
    request.on("data", (d: Buffer) => {
      size += d.length;
      if (size > maxAnswer) finish("service answered too much");
      else chunks.push(d);
    });
    // When the connection itself failed, it says why.
    request.on("error", (e) => {
      if (!session.destroyed) finish(`connection error: ${e.message}`);
    });
    session.on("close", () => finish("connection error: closed"));
    request.on("end", () => {
      if (status !== "0") return finish(`rpc error: code = ${status ?? "Unavailable"}`);
      const health = parseHealth(Buffer.concat(chunks));
      return finish(health === serving ? undefined : `service unhealthy (responded with "${statusNames[health] ?? health}")`);
    });
    request.end(printRequest(service));
    if (signal.aborted) late();
  });
}

/** A gRPC message: not compressed, its length, and the protobuf field 1 (service) where there is one. */
function printRequest(service: string): Buffer {
  const name = Buffer.from(service.slice(0, 127));
  const body = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Field 1 (status, varint) of the answer; 0 (UNKNOWN) when it is left out, as protobuf has it. */
function parseHealth(message: Buffer): number {
  return message.length >= 7 && message[5] === 0x08 ? (message[6] ?? 0) : 0;
}
