import { desiredStatus } from "../../ingress/index.ts";
import type { Ingress } from "../api/types/networking-v1.generated.ts";
import type { Client } from "../client/client.ts";
import { isConflict, isNotFound } from "../client/errors.ts";
import { resources } from "../client/resources.ts";

/**
 * Gives an Ingress the addresses it is reached at, where it has others. Nothing but the status is sent: the Ingress that an agent
 * keeps is not all of it (trim.ts), and a PUT of it would take owners and annotations away, from a status's path too.
 */
export async function writeIngressStatus(client: Pick<Client, "patch">, ingress: Ingress, addresses: readonly string[]): Promise<void> {
  const status = desiredStatus(ingress, addresses);
  if (status === undefined) return;
  const { namespace = "", name = "", resourceVersion } = ingress.metadata ?? {};
  const body = { ...(resourceVersion === undefined ? {} : { metadata: { resourceVersion } }), status };
  try {
    await client.patch(resources.ingresses, { namespace, name }, { type: "merge", body }, { subresource: "status" });
  } catch (error) {
    // A newer version is on its way to the snapshot, and with it the next try.
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
}
