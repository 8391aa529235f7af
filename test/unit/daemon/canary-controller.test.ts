import { expect, test } from "vitest";
import type { BackendFigures } from "../../../ingress/index.ts";
import type { Ingress } from "../../../src/api/types/networking-v1.generated.ts";
import { addFigures, figuresOf, figuresSince, parseFigures, printFigures } from "../../../src/daemon/backend-figures.ts";
import { type CanaryWorld, startCanaryController } from "../../../src/daemon/canary-controller.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const text = (good: number, bad: number, slow = 0): string =>
  [
    "# TYPE nginx_ingress_controller_requests counter",
    `nginx_ingress_controller_requests{host="h",method="GET",status="200",namespace="x",ingress="main",service="next"} ${good}`,
    `nginx_ingress_controller_requests{host="h",method="GET",status="503",namespace="x",ingress="main",service="next"} ${bad}`,
    `nginx_ingress_controller_requests{host="h",method="GET",status="500",namespace="y",ingress="main",service="next"} 99`,
    `nginx_ingress_controller_requests{host="h",method="GET",status="500",namespace="x",ingress="main",service="main"} 99`,
    `nginx_ingress_controller_request_duration_seconds_bucket{host="h",status="200",namespace="x",service="next",le="0.5"} ${good + bad - slow}`,
    `nginx_ingress_controller_request_duration_seconds_bucket{host="h",status="200",namespace="x",service="next",le="+Inf"} ${good + bad}`,
    `nginx_ingress_controller_request_duration_seconds_count{host="h",status="200",namespace="x",service="next"} ${good + bad}`,
    "",
  ].join("\n");

test("figures of a Service, of all processes, since a moment, as they travel", () => {
  const all = figuresOf([text(8, 2, 1), text(1, 0)], "x/next");
  expect(all).toEqual({
    requests: 11,
    failures: 2,
    within: [
      { seconds: 0.5, requests: 10 },
      { seconds: Number.POSITIVE_INFINITY, requests: 11 },
    ],
  });
  expect(parseFigures(printFigures(all))).toEqual(all);
  const later = figuresOf([text(18, 2, 1), text(1, 0)], "x/next");
  expect(figuresSince(all, later)).toMatchObject({ requests: 10, failures: 0, within: [{ requests: 10 }, { requests: 10 }] });
  expect(figuresSince(later, all)).toBe(all);
  expect(addFigures(all, all)).toMatchObject({ requests: 22, failures: 4 });
  expect(figuresOf([text(1, 1)], "x/nobody")).toEqual({ requests: 0, failures: 0, within: [] });
});

class Lab {
  readonly clock = new FakeClock();
  readonly events: string[] = [];
  readonly figures = new Map<string, { good: number; bad: number }>([["node-1", { good: 1000, bad: 0 }]]);
  ingress: Ingress;
  conflicts = 0;
  readonly controller;

  constructor(annotations: Readonly<Record<string, string>> = {}) {
    this.ingress = {
      metadata: {
        name: "canary",
        namespace: "x",
        uid: "u",
        annotations: {
          "nginx.ingress.kubernetes.io/canary": "true",
          "fairway.dev/canary-steps": "10, 100",
          "fairway.dev/canary-interval": "10",
          "fairway.dev/canary-requests": "10",
          ...annotations,
        },
      },
      spec: {
        rules: [{ http: { paths: [{ pathType: "Prefix", path: "/", backend: { service: { name: "next", port: { number: 80 } } } }] } }],
      },
    };
    const world: CanaryWorld = {
      ingresses: () => [this.ingress],
      figures: async (service) => new Map([...this.figures].map(([node, { good, bad }]) => [node, this.#told(service, good, bad)])),
      annotate: async (ingress, name, value) => {
        if (this.conflicts-- > 0) return false;
        const metadata = { ...ingress.metadata, annotations: { ...ingress.metadata?.annotations, [name]: value } };
        this.ingress = { ...ingress, metadata };
        return true;
      },
      record: (note) => void this.events.push(`${note.type} ${note.reason} ${note.message}`),
      clock: this.clock,
    };
    this.controller = startCanaryController(world, silentLog);
  }

  #told(service: string, good: number, bad: number): BackendFigures {
    return service === "x/next" ? figuresOf([text(good, bad)], "x/next") : { requests: 0, failures: 0, within: [] };
  }

  status(): { phase?: string; weight?: number } {
    return JSON.parse(this.ingress.metadata?.annotations?.["fairway.dev/canary-status"] ?? "{}") as { phase?: string; weight?: number };
  }

  add(node: string, good: number, bad: number): void {
    const before = this.figures.get(node) ?? { good: 0, bad: 0 };
    this.figures.set(node, { good: before.good + good, bad: before.bad + bad });
  }

  pass(seconds: number): Promise<void> {
    return this.clock.advance(seconds * 1000);
  }
}

test("a canary that answers well is promoted; what was counted before its step judges nothing", async () => {
  const lab = new Lab();
  await lab.pass(1);
  expect(lab.status()).toMatchObject({ phase: "Progressing", weight: 10 });
  await lab.pass(30);
  expect(lab.status()).toMatchObject({ phase: "Progressing", weight: 10 });
  lab.add("node-1", 6, 0);
  lab.add("node-2", 500, 500);
  await lab.pass(2);
  expect(lab.status()).toMatchObject({ weight: 10 });
  lab.add("node-2", 6, 0);
  await lab.pass(3);
  expect(lab.status()).toMatchObject({ phase: "Progressing", weight: 100 });
  lab.add("node-1", 20, 0);
  await lab.pass(15);
  expect(lab.status()).toMatchObject({ phase: "Promoted", weight: 100 });
  expect(lab.events.map((e) => e.split(" ").slice(0, 2).join(" "))).toEqual([
    "Normal CanaryProgressing",
    "Normal CanaryProgressing",
    "Normal CanaryPromoted",
  ]);
  await lab.controller.close();
});

test("one that fails is taken back within its step, with a warning", async () => {
  const lab = new Lab();
  await lab.pass(2);
  lab.add("node-1", 5, 5);
  await lab.pass(3);
  expect(lab.status()).toMatchObject({ phase: "RolledBack", weight: 0 });
  expect(lab.events.at(-1)).toMatch(/^Warning CanaryRolledBack 10 % → 0 %: at 10 %, 5 of 10 requests failed/);
  lab.add("node-1", 500, 0);
  await lab.pass(30);
  expect(lab.status()).toMatchObject({ phase: "RolledBack", weight: 0 });
  await lab.controller.close();
});

test("counters that begin anew (a process was started again) are not taken for a fall", async () => {
  const lab = new Lab();
  await lab.pass(2);
  lab.figures.set("node-1", { good: 12, bad: 0 });
  await lab.pass(12);
  expect(lab.status()).toMatchObject({ phase: "Progressing", weight: 100 });
  await lab.controller.close();
});

test("a conflict is tried again, and told once it is written", async () => {
  const lab = new Lab();
  lab.conflicts = 2;
  await lab.pass(1);
  expect(lab.events).toEqual([]);
  await lab.pass(2);
  expect([lab.status().weight, lab.events.length]).toEqual([10, 1]);
  await lab.controller.close();
});

test("pause and rollback by annotation", async () => {
  const lab = new Lab({ "fairway.dev/canary-pause": "true" });
  await lab.pass(2);
  expect(lab.status()).toMatchObject({ phase: "Paused", weight: 0 });
  const annotations = lab.ingress.metadata?.annotations ?? {};
  lab.ingress = {
    ...lab.ingress,
    metadata: { ...lab.ingress.metadata, annotations: { ...annotations, "fairway.dev/canary-pause": "false" } },
  };
  await lab.pass(3);
  expect(lab.status()).toMatchObject({ phase: "Progressing", weight: 10 });
  const now = lab.ingress.metadata?.annotations ?? {};
  lab.ingress = { ...lab.ingress, metadata: { ...lab.ingress.metadata, annotations: { ...now, "fairway.dev/canary-rollback": "true" } } };
  await lab.pass(3);
  expect(lab.status()).toMatchObject({ phase: "RolledBack", weight: 0 });
  await lab.controller.close();
});
