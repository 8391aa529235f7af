import { expect, test } from "vitest";
import { createMetrics, mergeMetricsText } from "../../../src/observe/metrics.ts";

test("counters, gauges and histograms print as Prometheus text", async () => {
  const metrics = createMetrics();
  const sent = metrics.counter({ name: "sent_total", help: "Packets sent.", labels: ["proto"] });
  sent.add(2, { proto: "udp" });
  sent.add(undefined, { proto: "udp" });
  let depth = 1;
  metrics.gauge({ name: "depth", help: "Queue depth.", read: () => depth });
  metrics.histogram({ name: "seconds", help: "Time.", buckets: [0.1, 1] }).observe(0.5);
  depth = 7;
  const lines = (await metrics.print()).split("\n");
  expect(lines).toContain('sent_total{proto="udp"} 3');
  expect(lines).toContain("depth 7");
  expect(lines).toContain('seconds_bucket{le="0.1"} 0');
  expect(lines).toContain('seconds_bucket{le="+Inf"} 1');
});

test("a gauge's series can be removed, and a collector taken out", async () => {
  const metrics = createMetrics();
  const up = metrics.gauge({ name: "up", help: "Up.", labels: ["node"] });
  up.set(1, { node: "a" });
  up.set(1, { node: "b" });
  up.remove({ node: "a" });
  const remove = metrics.collect(() => "own_total 4\n");
  expect(await metrics.print()).toBe('# HELP up Up.\n# TYPE up gauge\nup{node="b"} 1\nown_total 4\n');
  remove();
  expect(await metrics.print()).not.toContain("own_total");
});

test("the process's own metrics are there when asked for", async () => {
  expect(await createMetrics({ processMetrics: true }).print()).toContain("process_resident_memory_bytes");
});

test("a family that two sources have is printed once, samples together", () => {
  const a = '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n# TYPE x gauge\nx 1\n';
  const b = '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1",n="b"} 2\n';
  expect(mergeMetricsText([a, b])).toBe(
    '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\nh_bucket{le="1",n="b"} 2\n# TYPE x gauge\nx 1\n',
  );
});

test("samples that several processes have are one: sums of counts, the largest of other gauges", () => {
  const process = (n: number): string =>
    `# TYPE r counter\nr{a="b"} ${n}\n# TYPE c_connections gauge\nc_connections ${n}\n# TYPE t_seconds gauge\nt_seconds ${n}\n`;
  expect(mergeMetricsText([process(1), process(2)])).toBe(
    '# TYPE r counter\nr{a="b"} 3\n# TYPE c_connections gauge\nc_connections 3\n# TYPE t_seconds gauge\nt_seconds 2\n',
  );
});

test("of processes of the ingress: how many, what they use together, and when the oldest began", () => {
  const name = "nginx_ingress_controller_nginx_process_";
  const process = (n: number): string =>
    [
      `# TYPE ${name}num_procs gauge\n${name}num_procs 1`,
      `# TYPE ${name}oldest_start_time_seconds gauge\n${name}oldest_start_time_seconds ${n}`,
    ].join("\n");
  const merged = mergeMetricsText([process(70), process(50)]);
  expect(merged).toContain(`\n${name}num_procs 2\n`);
  expect(merged).toContain(`\n${name}oldest_start_time_seconds 50\n`);
});
