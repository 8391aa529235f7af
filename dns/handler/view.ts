import { cidrContains } from "../../src/base/cidr.ts";
import { ipFamily, parseIp } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { Expression, QueryFact } from "../corefile/plugins/view-expression.ts";
import { printClass, printType } from "../wire/record-type.ts";
import type { Query } from "./handler.ts";

type Value = string | number | boolean | readonly Value[];

/** Whether all of a view's conditions hold for a query. */
export function isInView(conditions: readonly Expression[], q: Query, metadata: ReadonlyMap<string, string>): boolean {
  return conditions.every((e) => evaluate(e, q, metadata) === true);
}

function evaluate(e: Expression, q: Query, metadata: ReadonlyMap<string, string>): Value {
  const of = (x: Expression): Value => evaluate(x, q, metadata);
  switch (e.kind) {
    case "literal":
      return e.value;
    case "list":
      return e.items.map(of);
    case "fact":
      return factOf(e.name, q);
    case "metadata":
      return metadata.get(String(of(e.label))) ?? "";
    case "incidr": {
      const ip = parseIp(String(of(e.ip)));
      return ip !== undefined && ipFamily(ip) === e.cidr.family && cidrContains(e.cidr, ip);
    }
    case "not":
      return of(e.of) !== true;
    case "and":
      return of(e.left) === true && of(e.right) === true;
    case "or":
      return of(e.left) === true || of(e.right) === true;
    case "matches":
      return e.pattern.test(String(of(e.left)));
    case "compare":
      return compare(e.by, of(e.left), of(e.right));
    default:
      return unreachable(e);
  }
}

function compare(by: Extract<Expression, { kind: "compare" }>["by"], left: Value, right: Value): boolean {
  switch (by) {
    case "==":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case ">":
      return left > right;
    case "<=":
      return left <= right;
    case ">=":
      return left >= right;
    case "startsWith":
      return String(left).startsWith(String(right));
    case "endsWith":
      return String(left).endsWith(String(right));
    case "contains":
      return String(left).includes(String(right));
    case "in":
      return Array.isArray(right) && right.includes(left);
    case "matches":
      return new RegExp(String(right)).test(String(left));
    default:
      return unreachable(by);
  }
}

function factOf(fact: QueryFact, { question, message, client, transport, clientPort = 0, server }: Query): Value {
  switch (fact) {
    case "type":
      return printType(question.type);
    case "name":
      return question.name;
    case "class":
      return printClass(question.class);
    case "proto":
      return transport;
    case "size":
      return message.questions.length === 0 ? 12 : 16 + question.name.length + 1;
    case "client_ip":
      return client;
    case "port":
      return String(clientPort);
    case "server_ip":
      return server?.ip ?? "";
    case "server_port":
      return String(server?.port ?? 53);
    case "id":
      return message.id;
    case "opcode":
      return message.opcode;
    case "bufsize":
      return message.edns?.udpSize ?? 512;
    case "do":
      return message.edns?.dnssecOk ?? false;
    default:
      return unreachable(fact);
  }
}
