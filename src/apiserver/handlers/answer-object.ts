import { type Answer, jsonBytes } from "../answer.ts";
import { yamlType } from "../body.ts";
import type { Call } from "../call.ts";
import { type Form, formOf, representObject, wantsYaml } from "../representation.ts";
import { shownBytes } from "../view.ts";

/** The form a call asks for; 406 when we have none of those. */
export function formFor(call: Call): Form {
  return formOf(call.headers.accept, call.query.get("includeObject"), call.context.clock.now());
}

/** One stored object, in the form asked for. */
export async function answerObject(call: Call, bytes: Uint8Array, status = 200): Promise<Answer> {
  const body = representObject(call.view.resource, shownBytes(call.view, bytes), formFor(call));
  if (!wantsYaml(call.headers.accept)) return jsonBytes(body, status);
  const { printYaml } = await import("../yaml-library.ts");
  const text = printYaml(JSON.parse(new TextDecoder().decode(body)));
  return { kind: "bytes", status, type: yamlType, body: [new TextEncoder().encode(text)] };
}
