import { join } from "node:path";
import { bundleForGuest } from "../support/guest-bundle.ts";
import { guestLack, startGuest } from "../support/guest-kernel.ts";
import type { SoakOptions, SoakResult } from "./part.ts";

/** What the program in the guest tells: how far it is, at the end what came of it. */
export type KillLine = { readonly progress: string } | { readonly result: SoakResult };

/** For the guest to start, and after the last kill to look at what is there. */
const spareMinutes = 1;

/** Kills of the process that programs a node's virtual servers, in a guest kernel. */
export async function run(o: SoakOptions): Promise<SoakResult> {
  const lack = guestLack("ip", "ipvsadm", "ipset");
  if (lack !== undefined) return { summary: "nothing was killed", faults: [lack] };
  const support = join(import.meta.dirname, "..", "support");
  const bundle = await bundleForGuest({
    kills: join(import.meta.dirname, "rules-ipvs.program.ts"),
    "probe-agent.worker": join(support, "probe-agent.worker.ts"),
    "rules-churn.program": join(support, "rules-churn.program.ts"),
  });
  let last = "no kill yet";
  let result: SoakResult | undefined;
  const minutes = Math.max(o.minutes - spareMinutes, o.minutes / 2);
  const guest = startGuest({
    script: `exec ${bundle.command("kills")} ${o.seed} ${o.kills} ${minutes}\n`,
    timeoutSeconds: (o.minutes + spareMinutes) * 60,
    line(text) {
      const line = JSON.parse(text) as KillLine;
      if ("result" in line) result = line.result;
      else o.progress((last = line.progress));
    },
  });
  const end = (): void => void guest.close();
  o.signal.addEventListener("abort", end);
  try {
    const { stderr, console } = await guest.done;
    if (result !== undefined) return result;
    return {
      summary: `ended early: ${last}`,
      faults: o.signal.aborted ? [] : [`the guest ended before its program did:\n${stderr}\n${console}`],
    };
  } finally {
    o.signal.removeEventListener("abort", end);
    bundle.remove();
  }
}
