import type { RouteAnswer } from "../../../ingress/index.ts";
import { unreachable } from "../../base/unreachable.ts";
import type { OutputFormat } from "../output-format.ts";
import { printAnswer } from "./document.ts";
import { oneLine, printTable } from "./table.ts";

export interface AskedRequest {
  readonly method: string;
  readonly url: string;
}

export function printRoute(format: OutputFormat | undefined, asked: AskedRequest, answer: RouteAnswer): string {
  return printAnswer(format, {
    data: answer,
    text: () => routeText(asked, answer, false),
    wide: () => routeText(asked, answer, true),
    names: () => answer.backends.map((b) => b.service),
  });
}

function routeText(asked: AskedRequest, answer: RouteAnswer, wide: boolean): string {
  const rule = answer.object === undefined ? "" : ` by ${answer.object}, rule ${answer.rule ?? ""}`;
  const lines = [`${asked.method} ${asked.url}`, `${sentence(answer)}${rule}`];
  if (answer.outcome !== "forward" && isRewritten(asked, answer)) lines.push(`rewritten to ${answer.request.path}`);
  if (answer.filters.length > 0) lines.push(`filters: ${answer.filters.join(", ")}`);
  const table =
    answer.backends.length === 0
      ? ""
      : printTable(
          [
            { title: "SERVICE", cell: (b) => b.service },
            { title: "PORT", cell: (b) => String(b.port) },
            { title: "SHARE", cell: (b) => `${Math.round(b.weight * 100) / 100} %` },
            { title: "ENDPOINTS", cell: (b) => (b.endpoints.length === 0 ? "none" : b.endpoints.join(", ")) },
          ],
          answer.backends,
        );
  const headers = wide ? Object.entries(answer.request.setHeaders).map(([k, v]) => `  > ${k}: ${v}`) : [];
  const why = answer.why.map((w, i) => `${String(i + 1).padStart(3)}. ${w}`);
  return `${[...lines, ...headers].join("\n")}\n${table}${why.map((w) => `${oneLine(w)}\n`).join("")}`;
}

function sentence({ outcome, status, location, request }: RouteAnswer): string {
  switch (outcome) {
    case "forward":
      return `forwarded as ${request.path}`;
    case "redirect":
      return `redirected (${status ?? 308}) to ${location ?? ""}`;
    case "respond":
      return `answered with ${status ?? ""}`;
    case "none":
      return `no route: answered with ${status ?? 404}`;
    default:
      return unreachable(outcome);
  }
}

function isRewritten({ url }: AskedRequest, { request }: RouteAnswer): boolean {
  const target = url.replace(/^[a-z]+:\/\/[^/?#]*/i, "").replace(/#.*$/, "");
  return request.path !== (target.startsWith("/") ? target : `/${target}`);
}
