import type { Command } from "commander";
import type { NodeHistory } from "../daemon/history-answer.ts";
import type { HistoryOptions } from "./commands/history.ts";
import { type Daemon, daemonsOf } from "./daemons.ts";
import { parseSince } from "./duration.ts";
import { usageError, workError } from "./errors.ts";
import { type HistoryRow, printHistory } from "./printers/history.ts";
import { commandIo } from "./program.ts";
import { remark } from "./question.ts";

const timeoutMs = 5000;

/** Asks each daemon and puts their answers into one list, latest first. */
export async function answerHistory(options: HistoryOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const { service } = options;
  if (service !== undefined && !/^[^/]+\/[^/]+$/.test(service)) throw usageError(`--service ${service}: write it as NAMESPACE/NAME`);
  const limit = Number(options.limit);
  if (!Number.isSafeInteger(limit) || limit < 1) throw usageError(`--limit ${options.limit}: write a whole number from 1 on`);
  const since = options.since === undefined ? undefined : parseSince("--since", options.since, Date.now());
  const daemons = daemonsOf(options);
  const query = new URLSearchParams({ limit: String(limit) });
  if (service !== undefined) query.set("service", service);
  if (since !== undefined) query.set("since", new Date(since).toISOString());
  const answers = await Promise.all(
    daemons.map((d) => ask(d, query).catch((e: unknown) => (e instanceof Error ? e : new Error(String(e))))),
  );
  const rows: HistoryRow[] = [];
  for (const [i, answer] of answers.entries()) {
    const daemon = daemons[i];
    if (!(answer instanceof Error)) rows.push(...answer.entries.map((entry) => ({ node: answer.node, ...entry })));
    else if (answers.every((a) => a instanceof Error))
      throw workError(`${daemon?.name ?? ""} does not answer at ${daemon?.address ?? ""}`, answer);
    else remark(io, `${daemon?.name ?? ""} does not answer at ${daemon?.address ?? ""}: ${answer.message}`);
  }
  rows.sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
  io.stdout(printHistory(options.output, rows.slice(0, limit)));
}

async function ask({ address }: Daemon, query: URLSearchParams): Promise<NodeHistory> {
  const response = await fetch(`http://${address}/history?${query}`, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`status ${response.status}: ${(await response.text()).trim()}`);
  return (await response.json()) as NodeHistory;
}
