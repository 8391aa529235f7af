import assert from "node:assert/strict";
import { RulesLab } from "../support/rules-lab.ts";

let started: Promise<RulesLab> | undefined;

/** Two nodes, their pods and a client, for all cases of one start of the guest: to lay it takes seconds there. */
export function sharedLab(): Promise<RulesLab> {
  started ??= RulesLab.start("gst");
  return started;
}

/** For an answer that must come: on a busy machine the guest may stand still for longer than a host ever would. */
export const answerWithinMs = 60_000;

/** At the end of the guest's program, so that it can end. */
export async function closeSharedLab(): Promise<void> {
  await (await started)?.close();
}

/** Generous: the guest is slow, and so may be what it runs on. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(what);
}
