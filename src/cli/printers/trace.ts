import type { Packet, Verdict } from "../../../rules/index.ts";
import { printHostPort } from "../../base/ip.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";

export interface TraceContext {
  readonly node: string;
  readonly packet: Packet;
  readonly verdicts: readonly (readonly [backend: string, verdict: Verdict])[];
}

/** `data` is what programs get: one verdict, or one a backend. */
export function printTrace(format: OutputFormat | undefined, data: unknown, context: TraceContext): string {
  return printAnswer(format, {
    data,
    text: () => traceText(context, false),
    wide: () => traceText(context, true),
    names: () => [...new Set(context.verdicts.flatMap(([, v]) => v.endpoints))],
  });
}

function traceText({ node, packet, verdicts }: TraceContext, wide: boolean): string {
  const head = `${packet.from} → ${printHostPort(packet.to, packet.port)}/${packet.protocol} on ${node}\n`;
  const bodies = verdicts.map(([backend, v]) => `${verdicts.length > 1 ? `\n${backend}: ` : ""}${sentence(v)}\n${steps(v, wide)}`);
  return head + bodies.join("");
}

function sentence(v: Verdict): string {
  const service = v.service === null ? "" : ` by Service ${v.service}`;
  switch (v.verdict) {
    case "pass":
      return "passes: no Service rule has to do with it";
    case "drop":
      return `dropped${service}`;
    case "reject":
      return `rejected${service}`;
    case "deliver": {
      const [only] = v.endpoints;
      const where =
        v.endpoints.length === 1 ? `delivered to ${only}` : `delivered to one of ${v.endpoints.length}: ${v.endpoints.join(", ")}`;
      const source = v.masquerade ? "the endpoint sees the node's address" : "the endpoint sees the sender's address";
      const affinity = v.affinitySeconds === null ? "" : `; the same client keeps its endpoint for ${v.affinitySeconds} s`;
      return `${where}${service}; ${source}${affinity}`;
    }
  }
}

function steps(v: Verdict, wide: boolean): string {
  return v.steps
    .map(({ rule, why, object }, i) => {
      const number = `${String(i + 1).padStart(3)}. `;
      const told = why === "" ? rule : why;
      return `${number}${told}${object === undefined ? "" : ` (${object})`}\n${wide && why !== "" ? `${" ".repeat(number.length)}${rule}\n` : ""}`;
    })
    .join("");
}
