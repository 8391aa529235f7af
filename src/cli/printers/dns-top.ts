import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";
import { printTable } from "./table.ts";

/** Who asks DNS what, the most first. */
export interface DnsTop {
  readonly clients: readonly {
    readonly client: string;
    /** `namespace/name`; null for what is no pod. */
    readonly pod: string | null;
    readonly queries: number;
    /** Steps along a search path that led nowhere. */
    readonly misses: number;
    /** Of those, what ndots:1 would save. */
    readonly savings: number;
  }[];
  readonly names: readonly { readonly name: string; readonly queries: number }[];
}

export function printDnsTop(output: OutputFormat | undefined, top: DnsTop): string {
  return printAnswer(output, {
    data: top,
    text: () =>
      [
        printTable(
          [
            { title: "CLIENT", cell: (c) => c.pod ?? c.client },
            { title: "ADDRESS", cell: (c) => c.client, wide: true },
            { title: "QUERIES", cell: (c) => String(c.queries) },
            { title: "SEARCH PATH", cell: (c) => share(c.misses, c.queries) },
            { title: "NDOTS:1 SAVES", cell: (c) => share(c.savings, c.queries) },
          ],
          top.clients,
          { wide: output === "wide" },
        ),
        printTable(
          [
            { title: "NAME", cell: (n) => n.name },
            { title: "QUERIES", cell: (n) => `~${n.queries}` },
          ],
          top.names,
        ),
      ].join("\n"),
    names: () => top.clients.map((c) => c.pod ?? c.client),
  });
}

function share(part: number, whole: number): string {
  return whole === 0 ? "0" : `${part} (${Math.round((100 * part) / whole)}%)`;
}
