import type { Command } from "commander";
import { compileOffline } from "../../../rules/index.ts";
import { backendOf, parseBackends } from "../backend-option.ts";
import type { RenderOptions } from "../commands/render.ts";
import { usageError } from "../errors.ts";
import { printAnswer } from "../printers/document.ts";
import { commandIo } from "../program.ts";
import { askObjects, chooseNode, failIf, remark, remarkProblems, splitPaths } from "../question.ts";
import { configOf, ruleSettings } from "./rule-settings.ts";

export async function answerRender(words: readonly string[], options: RenderOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const { paths, words: rest } = splitPaths(options, words, 0);
  if (rest.length > 0) throw usageError(`render ${rest.join(" ")}: no such file; objects are given with --objects`);
  if (options.backend === "all") throw usageError("--backend all: each has a loader of its own; render one");
  const backends = parseBackends(options.backend);
  const asked = await askObjects(options, paths, ["Service", "EndpointSlice", "Node", "ServiceCIDR"], io);
  const node = chooseNode(asked.snapshot, options.node, io);
  const configured = configOf(asked, options.config);
  const backend =
    backends?.[0] ?? (await backendOf(asked, node, { configured, named: options.config !== undefined }, (text) => remark(io, text)));
  const family = options.family === undefined ? undefined : options.family === "4" ? 4 : 6;
  const { text, problems } = compileOffline(asked.snapshot, {
    nodeName: node,
    backend,
    family,
    ...ruleSettings(asked, configured, backend),
  });
  remarkProblems(io, problems);
  io.stdout(
    printAnswer(options.output, {
      data: { node, backend, text, problems },
      text: () => text,
      names: () => problems.map((p) => p.object.name),
    }),
  );
  failIf(options, problems.length > 0, `${problems.length} objects could not be programmed`);
}
