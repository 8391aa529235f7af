import { expect, test } from "vitest";
import { parseAnnotations } from "../../../ingress/translate/annotations.ts";

function parse(annotations: Readonly<Record<string, string>>) {
  const complaints: string[] = [];
  const prefixed = Object.fromEntries(Object.entries(annotations).map(([k, v]) => [`nginx.ingress.kubernetes.io/${k}`, v]));
  const messages: string[] = [];
  const options = parseAnnotations(prefixed, (name, reason, message) => {
    complaints.push(`${reason} ${name}`);
    messages.push(message);
  });
  return { forwarding: options.forwarding, refusal: options.refusal, complaints, messages };
}

test.for<[name: string, annotations: Readonly<Record<string, string>>, want: object]>([
  ["nothing", {}, { protocol: "http", tries: 3, balance: "round_robin" }],
  [
    "what is kept of them in memory",
    { "proxy-request-buffering": "on", "client-body-buffer-size": "64k" },
    { bufferRequest: true, bodyBufferBytes: 65_536 },
  ],
  ["buffered requests", { "proxy-request-buffering": "on" }, { bufferRequest: true }],
  ["a Connection of one's own", { "connection-proxy-header": "close" }, { connectionHeader: "close" }],
  ["gRPC", { "backend-protocol": "GRPC" }, { protocol: "grpc" }],
  ["gRPC over TLS", { "backend-protocol": "grpcs" }, { protocol: "grpcs" }],
  ["least requests", { "load-balance": "least_requests" }, { balance: "least_requests" }],
  [
    "a hash of the client's address",
    { "upstream-hash-by": "$binary_remote_addr" },
    { balance: "hash", hash: { key: [{ kind: "clientIp" }], algorithm: "ring" } },
  ],
  [
    "a hash of many parts, which goes before load-balance",
    { "upstream-hash-by": "x-$host$request_uri$".concat("{arg_user}$http_x_user-$cookie_id"), "load-balance": "ewma" },
    {
      balance: "hash",
      hash: {
        key: [
          { kind: "text", text: "x-" },
          { kind: "host" },
          { kind: "uri" },
          { kind: "query", name: "user" },
          { kind: "header", name: "x-user" },
          { kind: "text", text: "-" },
          { kind: "cookie", name: "id" },
        ],
      },
    },
  ],
  ["no next upstream", { "proxy-next-upstream": "off" }, { tries: 1 }],
  [
    "conditions, tries and time of the next upstream",
    { "proxy-next-upstream": "error http_502 non_idempotent", "proxy-next-upstream-tries": "5", "proxy-next-upstream-timeout": "10" },
    { tries: 5, retry: { on: ["error", "http_502"], nonIdempotent: true, withinSeconds: 10 } },
  ],
  [
    "a time alone keeps the usual conditions",
    { "proxy-next-upstream-timeout": "4" },
    { retry: { on: ["error", "timeout"], nonIdempotent: false, withinSeconds: 4 } },
  ],
  [
    "a rate, after so much",
    { "limit-rate": "100k", "limit-rate-after": "1m" },
    { responseRate: { bytesPerSecond: 102_400, afterBytes: 1_048_576 } },
  ],
  ["no rate", { "limit-rate": "0", "limit-rate-after": "1m" }, { protocol: "http" }],
  [
    "the terms of TLS",
    {
      "backend-protocol": "HTTPS",
      "proxy-ssl-verify": "on",
      "proxy-ssl-name": "$http_x_shard.inner.test",
      "proxy-ssl-server-name": "on",
      "proxy-ssl-protocols": "TLSv1.3",
    },
    {
      tls: {
        verify: true,
        sendServerName: true,
        name: [
          { kind: "header", name: "x-shard" },
          { kind: "text", text: ".inner.test" },
        ],
        minVersion: "TLSv1.3",
        maxVersion: "TLSv1.3",
      },
    },
  ],
])("%s", ([, annotations, want]) => {
  const { forwarding, complaints } = parse(annotations);
  expect(forwarding).toMatchObject(want);
  for (const part of ["tls", "hash", "retry", "responseRate"]) expect(part in forwarding).toBe(part in want);
  expect(complaints).toEqual([]);
});

test.for<[name: string, annotations: Readonly<Record<string, string>>]>([
  ["an unknown variable", { "upstream-hash-by": "$upstream_addr" }],
  ["an unknown condition", { "proxy-next-upstream": "error http_418" }],
  ["an old TLS", { "backend-protocol": "HTTPS", "proxy-ssl-protocols": "TLSv1.1" }],
  ["a word for a rate", { "limit-rate": "fast" }],
])("%s is told, and the rest is served", ([, annotations]) => {
  const { complaints, refusal } = parse(annotations);
  expect(complaints).toHaveLength(1);
  expect(complaints[0]).toMatch(/^InvalidAnnotation /);
  expect(refusal).toBeUndefined();
});

test("FastCGI shuts the paths", () => {
  const { refusal, messages } = parse({ "backend-protocol": "FCGI" });
  expect(refusal).toMatch(/FCGI is not supported/);
  expect(messages[0]).toMatch(/beside it; the paths answer 503 until it is right$/);
});
