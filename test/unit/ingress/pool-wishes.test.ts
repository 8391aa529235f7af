import { expect, test } from "vitest";
import { poolWishes } from "../../../ingress/translate/pool-wishes.ts";

const path = "fairway.dev/health-check-path";
const protocol = "fairway.dev/health-check-protocol";
const usual = { asks: { kind: "http", path: "/ok" }, tls: false, intervalSeconds: 10, timeoutSeconds: 5, failures: 3, successes: 1 };

test.for<[name: string, annotations: Record<string, string>, plan: object, fields: readonly string[]]>([
  ["nothing", { "other/annotation": "1" }, {}, []],
  ["a path", { [path]: "/ok" }, { health: usual }, []],
  [
    "everything",
    {
      [path]: "/ok?deep=1",
      "fairway.dev/health-check-host": "a.test:80",
      "fairway.dev/health-check-interval": "2",
      "fairway.dev/health-check-timeout": "1",
      "fairway.dev/health-check-failures": "4",
      "fairway.dev/health-check-successes": "5",
      "fairway.dev/slow-start": "30",
    },
    {
      health: {
        asks: { kind: "http", path: "/ok?deep=1" },
        tls: false,
        host: "a.test:80",
        intervalSeconds: 2,
        timeoutSeconds: 1,
        failures: 4,
        successes: 5,
      },
      slowStartSeconds: 30,
    },
    [],
  ],
  ["a path over TLS", { [path]: "/ok", [protocol]: "HTTPS" }, { health: { ...usual, tls: true } }, []],
  ["gRPC", { [protocol]: "GRPC" }, { health: { ...usual, asks: { kind: "grpc", service: "" } } }, []],
  [
    "gRPC over TLS, of one service",
    { [protocol]: "grpcs", "fairway.dev/health-check-service": "shop.Cart" },
    { health: { ...usual, asks: { kind: "grpc", service: "shop.Cart" }, tls: true } },
    [],
  ],
  ["a protocol that is none", { [path]: "/ok", [protocol]: "TCP" }, { health: usual }, [protocol]],
  ["a protocol without a path", { [protocol]: "HTTPS" }, {}, []],
  ["a limit", { "fairway.dev/max-requests": "8" }, { limits: { requests: 8, pending: 128, pendingSeconds: 5 } }, []],
  [
    "a limit without a queue",
    { "fairway.dev/max-requests": "8", "fairway.dev/max-pending": "0", "fairway.dev/pending-timeout": "0" },
    { limits: { requests: 8, pending: 0, pendingSeconds: 5 } },
    ["fairway.dev/pending-timeout"],
  ],
  ["a limit of nothing", { "fairway.dev/max-requests": "0" }, {}, ["fairway.dev/max-requests"]],
  ["a path that is none", { [path]: "ok" }, {}, [path]],
  ["a path that ends the line", { [path]: "/ok HTTP/1.1\r\nx: y" }, {}, [path]],
  [
    "a host that ends the line",
    { [path]: "/ok", "fairway.dev/health-check-host": "a\r\nb" },
    { health: usual },
    ["fairway.dev/health-check-host"],
  ],
  [
    "a number that is none",
    { [path]: "/ok", "fairway.dev/health-check-interval": "2s" },
    { health: usual },
    ["fairway.dev/health-check-interval"],
  ],
  ["no time", { [path]: "/ok", "fairway.dev/health-check-timeout": "0" }, { health: usual }, ["fairway.dev/health-check-timeout"]],
])("a Service wishes %s", ([, annotations, plan, fields]) => {
  const wishes = poolWishes("shop/web", annotations);
  expect(wishes.plan).toEqual(plan);
  expect(wishes.problems.map((p) => p.field)).toEqual(fields.map((f) => `metadata.annotations[${f}]`));
});
