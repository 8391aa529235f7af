import { RulesLab } from "../support/rules-lab.ts";

let started: Promise<RulesLab> | undefined;

/** Two nodes, their pods and a client, for all cases of one start of the guest: to lay it takes seconds there. */
export function sharedLab(): Promise<RulesLab> {
  started ??= RulesLab.start("gst");
  return started;
}

/** At the end of the guest's program, so that it can end. */
export async function closeSharedLab(): Promise<void> {
  await (await started)?.close();
}
