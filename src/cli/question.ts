import { existsSync } from "node:fs";
import type { Command } from "commander";
import { type Kind, type Snapshot, snapshotKinds } from "../snapshot/cluster-snapshot.ts";
import { type Problem, printObjectRef } from "../snapshot/problem.ts";
import { addClusterOptions, type ClusterOptions, type FoundCluster } from "./cluster.ts";
import { CliError, inputError, usageError } from "./errors.ts";
import { addOutputOption } from "./global-options.ts";
import type { OutputFormat } from "./output-format.ts";
import type { CliIo } from "./program.ts";

/** What `render`, `trace`, `resolve` and `route` have in common. */
export interface QuestionOptions extends ClusterOptions {
  readonly objects?: readonly string[];
  readonly output?: OutputFormat;
  readonly fail?: true;
}

/** What is asked: objects from files, or of a cluster at this moment. */
export interface Asked {
  readonly snapshot: Snapshot;
  /** Absent when the objects are from files. */
  readonly cluster?: FoundCluster;
}

export const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function addObjectsOption(command: Command): Command {
  return command.option(
    "--objects <path>",
    "file or folder of objects (YAML, JSON, Lists) to ask instead of a cluster; may be repeated",
    collect,
  );
}

export function addQuestionOptions(command: Command, failMeans: string): Command {
  addObjectsOption(command);
  addClusterOptions(addOutputOption(command));
  return command.option("--fail", `exit 1 when the answer is ${failMeans}`);
}

/** Reads the objects that were named, or lists `kinds` from the cluster. Remarks go to stderr. */
export async function askObjects(options: QuestionOptions, paths: readonly string[], kinds: readonly Kind[], io: CliIo): Promise<Asked> {
  if (paths.length > 0) {
    const { loadObjects, snapshotOf } = await import("./objects.ts");
    const objects = loadObjects(paths);
    for (const { source, unknownFields } of objects) {
      for (const field of unknownFields) remark(io, `${source}: ${field}: no such field; it is left out`);
    }
    if (!objects.some((o) => (snapshotKinds as readonly string[]).includes(o.kind))) {
      throw inputError(`${paths.join(", ")}: none of the objects is read by a dataplane (${snapshotKinds.join(", ")})`);
    }
    return { snapshot: snapshotOf(objects) };
  }
  const [{ findCluster }, { liveSnapshot }] = await Promise.all([import("./cluster.ts"), import("./live-objects.ts")]);
  const cluster = findCluster(options);
  const { snapshot, remarks } = await liveSnapshot(cluster, kinds);
  for (const text of remarks) remark(io, text);
  return { snapshot, cluster };
}

/** One line on stderr that changes nothing about the exit status. */
export function remark(io: CliIo, text: string): void {
  io.stderr(`fairway: warning: ${text.replace(/\s*\p{Cc}+\s*/gu, " ")}\n`);
}

/** The first few, each once: an answer should not drown in what is wrong elsewhere. */
export function remarkProblems(io: CliIo, problems: readonly Problem[]): void {
  const texts = [
    ...new Set(problems.map((p) => `${printObjectRef(p.object)}: ${p.field === "" ? "" : `${p.field}: `}${p.message} (${p.reason})`)),
  ];
  for (const text of texts.slice(0, maxRemarks)) remark(io, text);
  if (texts.length > maxRemarks) remark(io, `${texts.length - maxRemarks} more problems of other objects`);
}

const maxRemarks = 8;

/** With --fail, ends with status 1 and says why. The answer has been printed already. */
export function failIf(options: QuestionOptions, failed: boolean, why: string): void {
  if (options.fail === true && failed) throw new CliError("Answer", why);
}

/**
 * `--objects a.yaml b.yaml NAME`: words behind --objects that are files are more paths. What is left are the command's own
 * words; at least `least` of them are kept, whatever they look like.
 */
export function splitPaths(
  options: QuestionOptions,
  words: readonly string[],
  least: number,
): { readonly paths: readonly string[]; readonly words: readonly string[] } {
  const paths = [...(options.objects ?? [])];
  const own: string[] = [];
  for (const [i, word] of words.entries()) {
    const spare = own.length + words.length - i > least;
    if (options.objects !== undefined && spare && looksLikePath(word)) paths.push(word);
    else own.push(word);
  }
  return { paths, words: own };
}

function looksLikePath(word: string): boolean {
  return (/\.(ya?ml|json)$/.test(word) || word.includes("/") || !word.includes(".")) && existsSync(word);
}

/** The node a question is about: the one named, else the only one there is. Throws when it is none of the cluster's. */
export function chooseNode(snapshot: Snapshot, asked: string | undefined, io: CliIo): string {
  const nodes = [...snapshot.tables.Node.keys()];
  const [only] = nodes;
  if (asked !== undefined) {
    if (nodes.length === 0) remark(io, `no Node among the objects: ${asked} has no addresses and no pod range here`);
    else if (!nodes.includes(asked))
      throw inputError(`--node ${asked}: no such Node; there ${nodes.length === 1 ? "is" : "are"} ${nodes.join(", ")}`);
    return asked;
  }
  if (only === undefined) throw usageError("--node is missing, and there is no Node among the objects; name the node to ask");
  if (nodes.length > 1) throw usageError(`--node is missing; there are ${nodes.join(", ")}`);
  return only;
}
