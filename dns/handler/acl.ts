import { cidrContains } from "../../src/base/cidr.ts";
import { parseIp } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { AclAction, AclConfig } from "../corefile/plugins/acl.ts";
import { ednsOptions } from "../wire/edns.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import { emptyAnswer, type Query, type Wrap } from "./handler.ts";
import { closestZone } from "./zone-match.ts";

/** Who may ask what. The first rule that fits decides. */
export function checkAccess(config: AclConfig, count: (action: AclAction, zone: string) => void): Wrap {
  return (next) => (q, c) => {
    const zone = closestZone(canonicalName(q.question.name), config.zones);
    if (zone === undefined) return next(q, c);
    const action = actionFor(config, q);
    if (action !== "allow") c.took.add("acl");
    count(action, zone);
    switch (action) {
      case "allow":
        return next(q, c);
      case "block":
        return explained(q, rcodes.REFUSED, "Blocked", 15);
      case "filter":
        return explained(q, rcodes.NOERROR, "Filtered", 17);
      case "drop":
        c.reply.dropped = true;
        return emptyAnswer(q.message, rcodes.REFUSED);
      default:
        return unreachable(action);
    }
  };
}

function actionFor(config: AclConfig, q: Query): AclAction {
  const client = parseIp(q.client);
  const rule = config.rules.find(
    (r) =>
      (r.types.length === 0 || r.types.includes(q.question.type)) &&
      (r.sources.length === 0 || (client !== undefined && r.sources.some((cidr) => cidrContains(cidr, client)))),
  );
  return rule?.action ?? "allow";
}

/** With an extended error (RFC 8914) for those who understand it. */
function explained(q: Query, rcode: number, text: string, code: number): Message {
  const answer = emptyAnswer(q.message, rcode);
  if (q.message.edns === undefined) return answer;
  return { ...answer, edns: { udpSize: 0, version: 0, dnssecOk: false, options: [extendedError(code, text)] } };
}

/** RFC 8914. */
export function extendedError(code: number, text: string): { readonly code: number; readonly hex: string } {
  return { code: ednsOptions.extendedError, hex: code.toString(16).padStart(4, "0") + Buffer.from(text, "utf8").toString("hex") };
}
