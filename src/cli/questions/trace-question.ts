import type { Command } from "commander";
import { type Backend, compileOffline, type Packet, type RuleOptions, type Verdict } from "../../../rules/index.ts";
import type { Kind } from "../../snapshot/cluster-snapshot.ts";
import { type Problem, printObjectRef } from "../../snapshot/problem.ts";
import { backendOf, parseBackends } from "../backend-option.ts";
import type { TraceOptions } from "../commands/trace.ts";
import { usageError } from "../errors.ts";
import { parseSender, parseTarget, resolvePacketEnds, type SenderSpec } from "../packet-ends.ts";
import { printTrace } from "../printers/trace.ts";
import { commandIo } from "../program.ts";
import { type Asked, askObjects, chooseNode, failIf, remark, remarkProblems, splitPaths } from "../question.ts";
import { configOf, ruleSettings } from "./rule-settings.ts";

const ruleKinds: readonly Kind[] = ["Service", "EndpointSlice", "Node", "ServiceCIDR"];

export async function answerTrace(words: readonly string[], options: TraceOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const { paths, words: rest } = splitPaths(options, words, 0);
  if (rest.length > 0)
    throw usageError(`trace ${rest.join(" ")}: no such file; objects are given with --objects, ends with --from and --to`);
  const backends = parseBackends(options.backend);
  const from = parseSender(options.from);
  const to = parseTarget(options.to);
  const asked = await askObjects(options, paths, from.kind === "pod" ? [...ruleKinds, "Pod"] : ruleKinds, io);
  const node = chooseNode(asked.snapshot, options.node ?? nodeOf(asked, from), io);
  const ends = resolvePacketEnds(asked.snapshot, node, from, to);
  for (const text of ends.remarks) remark(io, text);
  const configured = configOf(asked, options.config);
  const chosen = backends ?? [
    await backendOf(asked, node, { configured, named: options.config !== undefined }, (text) => remark(io, text)),
  ];
  const settingsOf = (backend: Backend): Omit<RuleOptions, "nodeName"> => ruleSettings(asked, configured, backend);
  const packet: Packet = {
    from: ends.source,
    to: ends.destination,
    port: ends.port,
    protocol: ends.protocol,
    ...(ends.fromPodHere ? linkOfPods(settingsOf(chosen[0] ?? "nftables")) : {}),
  };
  const verdicts = chosen.map((backend): readonly [Backend, Verdict] => {
    const { trace, problems } = compileOffline(asked.snapshot, { nodeName: node, backend, ...settingsOf(backend) });
    const verdict = trace(packet);
    // what is wrong elsewhere in a cluster is status' to say; of files nobody else does
    remarkProblems(io, asked.cluster === undefined ? problems : problems.filter((p) => concerns(p, packet, verdict)));
    return [backend, verdict];
  });
  io.stdout(
    printTrace(options.output, options.backend === "all" ? Object.fromEntries(verdicts) : verdicts[0]?.[1], { node, packet, verdicts }),
  );
  const bad = verdicts.find(([, v]) => v.verdict === "drop" || v.verdict === "reject");
  failIf(options, bad !== undefined, `the packet is ${bad?.[1].verdict === "drop" ? "dropped" : "rejected"}`);
}

/** Whether a problem may have to do with where the packet goes: of an object on its way, or about its destination. */
function concerns({ object, message }: Problem, { to }: Packet, { steps }: Verdict): boolean {
  const name = printObjectRef(object);
  return object.kind !== "Service" || steps.some((step) => step.object === name) || message.includes(to);
}

/** Where Pods are known by the link they send on, a Pod's packet comes by such a link. */
function linkOfPods({ localInterface }: Pick<RuleOptions, "localInterface">): Pick<Packet, "interface"> {
  if (localInterface === undefined) return {};
  return { interface: localInterface.kind === "bridge" ? localInterface.name : `${localInterface.name}0` };
}

function nodeOf(asked: Asked, from: SenderSpec): string | undefined {
  if (from.kind !== "pod") return undefined;
  return asked.snapshot.tables.Pod.get(`${from.namespace}/${from.name}`)?.spec?.nodeName;
}
