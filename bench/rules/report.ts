import type { Figures } from "./measure.ts";

/** For people: each backend beside its peer, ratios first. */
export function printSize(size: { readonly services: number; readonly endpoints: number; readonly figures: readonly Figures[] }): string {
  const lines = [`\n${size.services} Services × ${size.endpoints} endpoints`];
  for (const [mode, figures] of Map.groupBy(size.figures, (f) => f.mode)) {
    const ours = figures.find((f) => f.name === "fairway");
    const theirs = figures.find((f) => f.name === "kube-proxy");
    lines.push(`  ${mode} (load average ${figures.map((f) => f.load[0]).join(", ")})`);
    for (const row of rows) {
      const [a, b] = [ours, theirs].map((f) => (f === undefined ? undefined : row.of(f)));
      const ratio = a === undefined || b === undefined ? "" : `${print(row.more === true ? a / b : b / a)}×`;
      const beside = theirs === undefined ? "" : `  kube-proxy ${shown(b, row.unit)}`;
      lines.push(`    ${row.name.padEnd(44)} ${ratio.padStart(8)}  fairway ${shown(a, row.unit).padEnd(12)}${beside}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

const rows: readonly {
  readonly name: string;
  readonly unit: string;
  readonly more?: true;
  readonly of: (f: Figures) => number | undefined;
}[] = [
  { name: "full load, CPU", unit: "ms", of: (f) => f.full?.cpu },
  { name: "full load, from the process's start", unit: "ms", of: (f) => f.full?.wall },
  { name: "one endpoint, CPU", unit: "ms", of: (f) => f.change?.cpu },
  { name: "one endpoint, API write to first connection", unit: "ms", of: (f) => f.change?.median },
  { name: "burst, CPU", unit: "ms", of: (f) => f.burst?.cpu },
  { name: "burst, first write to last connection", unit: "ms", of: (f) => f.burst?.wall },
  { name: "resident memory", unit: "MiB", of: (f) => f.memory?.mib },
  { name: "resident memory, most", unit: "MiB", of: (f) => f.memory?.peakMib },
  { name: "a connection, CPU more than without rules", unit: "µs", of: (f) => minus(f.connection?.cpu, f.connection?.withoutCpu) },
  { name: "a connection, CPU", unit: "µs", of: (f) => f.connection?.cpu },
  { name: "connections a second, × without rules", unit: "", more: true, of: (f) => over(f.connection?.withoutWall, f.connection?.wall) },
  { name: "connections a second", unit: "", more: true, of: (f) => over(1e6, f.connection?.wall) },
];

function minus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a - b;
}

function over(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}

function shown(n: number | undefined, unit: string): string {
  return n === undefined ? "not in time" : `${print(n)}${unit === "" ? "" : ` ${unit}`}`;
}

function print(n: number): string {
  return Math.abs(n) >= 100 ? n.toFixed(0) : Math.abs(n) >= 10 ? n.toFixed(1) : n.toFixed(2);
}
