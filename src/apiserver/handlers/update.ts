import type { Answer } from "../answer.ts";
import { readObject } from "../body.ts";
import type { Call } from "../call.ts";
import { updateObject } from "../object-writer.ts";
import { answerObject } from "./answer-object.ts";
import { targetOf, withMetadata } from "./create.ts";

/** PUT, of the object or of a part that has its own rules (status, finalize). */
export async function update(call: Call): Promise<Answer> {
  const object = call.view.store(withMetadata(await readObject(call, call.view.resource)));
  return answerObject(call, await updateObject(call.context, targetOf(call), () => object));
}
