import { ApiError, badRequest } from "../../api/status-error.ts";
import type { Rev } from "../../store/store.ts";
import type { ApiContext } from "../call.ts";

const patience = 3000;

/** undefined for none; 400 for what is no revision. */
export function parseRevision(text: string | null): Rev | undefined {
  if (text === null || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: invalid resource version`);
  return Number(text);
}

/** What is answered is not older than the revision asked for; one that does not come in time is a 504. */
export async function waitForRevision({ registry, clock }: ApiContext, text: string | null): Promise<Rev | undefined> {
  const rev = parseRevision(text);
  if (rev === undefined || rev <= registry.cache.rev) return rev;
  const enough = new AbortController();
  const reached = await registry.cache.reached(rev, clock.sleep(patience, enough.signal));
  enough.abort();
  if (!reached) throw tooLarge(rev, registry.cache.rev);
  return rev;
}

function tooLarge(asked: Rev, current: Rev): ApiError {
  return new ApiError(504, "Timeout", `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}
