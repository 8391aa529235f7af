import { describe, expect, test } from "vitest";
import type { Frontend } from "../../../rules/plan/frontend.ts";
import { nodePortKey } from "../../../rules/plan/frontend.ts";
import { OccupiedPorts } from "../../../rules/sync/occupied-ports.ts";
import type { IpFamily } from "../../../src/base/ip.ts";
import type { ListeningSocket } from "../../../src/kernel/listener.ts";

const nodePort = (port: number, family: IpFamily = 4, protocol: "tcp" | "udp" | "sctp" = "tcp"): Frontend => ({
  key: nodePortKey(family, port, protocol),
  scope: "nodePort",
  family,
  port,
  protocol,
  owner: { namespace: "shop", name: "web", port: "http", protocol: "tcp" },
  action: { kind: "reject" },
  masquerade: "always",
});

class World {
  sockets: readonly ListeningSocket[] = [];
  looks = 0;
  readonly ports = new OccupiedPorts({
    read: () => {
      this.looks++;
      return this.sockets;
    },
    describe: ({ port }) => `process ${port} (nginx)`,
  });

  change(before: Frontend | undefined, after: Frontend | undefined): void {
    const change = { ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) };
    this.ports.notice({ frontends: { changed: new Map([[(after ?? before)?.key ?? "", change]]), problems: { gained: [], lost: [] } } });
  }

  messages(): readonly string[] {
    return this.ports.problems().map((p) => p.message);
  }
}

const said = (port: number, protocol = "tcp"): string =>
  `process ${port} (nginx) listens at node port ${port}/${protocol} of this node; what others send there goes to this Service`;

describe("a node port at which a process listens", () => {
  test.each<{
    readonly name: string;
    readonly at: ListeningSocket;
    readonly ips?: readonly string[];
    readonly port?: Frontend;
    readonly found: boolean;
  }>([
    { name: "at every address", at: { type: "tcp", ip: "0.0.0.0", port: 30080 }, found: true },
    { name: "at every address of both families", at: { type: "tcp", ip: "::", port: 30080 }, found: true },
    {
      name: "at every address of the other family",
      at: { type: "tcp", ip: "0.0.0.0", port: 30080 },
      port: nodePort(30080, 6),
      found: false,
    },
    { name: "at one that node ports have", at: { type: "tcp", ip: "192.0.2.1", port: 30080 }, ips: ["192.0.2.1"], found: true },
    { name: "at one that they have not", at: { type: "tcp", ip: "192.0.2.2", port: 30080 }, ips: ["192.0.2.1"], found: false },
    { name: "at a loopback address", at: { type: "tcp", ip: "127.0.0.1", port: 30080 }, found: false },
    { name: "at any of this machine", at: { type: "tcp", ip: "192.0.2.2", port: 30080 }, ips: ["0.0.0.0", "::"], found: true },
    { name: "at another port", at: { type: "tcp", ip: "0.0.0.0", port: 30081 }, found: false },
    { name: "by the other protocol", at: { type: "udp", ip: "0.0.0.0", port: 30080 }, found: false },
  ])("$name", ({ at, ips = [], port = nodePort(30080), found }) => {
    const world = new World();
    world.sockets = [at];
    world.change(undefined, port);
    world.ports.look(ips);
    expect(world.messages()).toEqual(found ? [said(30080)] : []);
  });

  test("is looked for when a node port is new, and again by audits while there is one; it ends with either", () => {
    const world = new World();
    world.sockets = [{ type: "tcp", ip: "::", port: 30080 }];
    world.ports.look([]);
    expect(world.looks).toBe(0);
    world.change(undefined, nodePort(30080));
    world.change(undefined, nodePort(30080, 6));
    world.ports.look([]);
    expect(world.ports.problems()).toMatchObject([{ object: { name: "web" }, reason: "NodePortOccupied", field: "spec.ports" }]);
    world.change(nodePort(30080), nodePort(30080));
    world.ports.look([]);
    expect(world.looks).toBe(1);
    world.sockets = [];
    world.ports.look([], "again");
    expect([world.looks, world.messages()]).toEqual([2, []]);
    world.ports.look([], "again");
    expect(world.looks).toBe(2);
    // one that goes takes its problem along
    world.sockets = [{ type: "tcp", ip: "0.0.0.0", port: 30090 }];
    world.change(undefined, nodePort(30090));
    world.ports.look([]);
    expect(world.messages()).toEqual([said(30090)]);
    world.change(nodePort(30090), undefined);
    world.ports.look([]);
    expect(world.messages()).toEqual([]);
  });

  test("of SCTP is not looked for: its sockets are in no list", () => {
    const world = new World();
    world.change(undefined, nodePort(30080, 4, "sctp"));
    world.ports.look([]);
    expect(world.looks).toBe(0);
  });
});
