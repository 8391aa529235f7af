import { expect, test } from "vitest";
import { handleConnections } from "../../ingress/upstream/handle-connection.ts";
import { netConnections } from "../../ingress/upstream/net-connection.ts";
import { sendRing } from "../../ingress/upstream/send-ring.ts";
import { connectionContract } from "./connections.ts";

connectionContract("node:net", netConnections);

test("this Node has the handles that the fast transport knows", () => {
  expect(handleConnections(() => undefined)).toBeDefined();
});

connectionContract("handles", (onFault) => handleConnections(onFault) ?? netConnections(onFault));

const ring = sendRing();
if (ring !== undefined) connectionContract("handles and a ring", (onFault) => handleConnections(onFault, ring) ?? netConnections(onFault));
