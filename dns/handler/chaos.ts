import type { ChaosConfig } from "../corefile/plugins/serving.ts";
import { canonicalName } from "../wire/name.ts";
import { classChaos, typeNumbers } from "../wire/record-type.ts";
import { recordAnswer, type Wrap } from "./handler.ts";

/** Texts of class CHAOS: which version this is, who wrote it, what the host is called. Told by those who configure it only. */
export function answerChaos(config: ChaosConfig, hostname: string): Wrap {
  const texts = new Map<string, readonly string[]>([
    ["version.bind.", config.version === undefined ? [] : [config.version]],
    ["version.server.", config.version === undefined ? [] : [config.version]],
    ["authors.bind.", config.authors],
    ["hostname.bind.", [hostname]],
    ["id.server.", [hostname]],
  ]);
  return (next) => (q, c) => {
    const { name, type, class: rrClass } = q.question;
    const found = rrClass === classChaos && type === typeNumbers.TXT ? texts.get(canonicalName(name)) : undefined;
    if (found === undefined || found.length === 0) return next(q, c);
    c.took.add("chaos");
    return recordAnswer(
      q.message,
      found.map((text) => ({ name, class: classChaos, ttl: 0, data: { kind: "TXT", texts: [text] } })),
    );
  };
}
