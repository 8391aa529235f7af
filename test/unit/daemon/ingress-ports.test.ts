import { expect, test } from "vitest";
import { IngressPorts, refusalProblems } from "../../../src/daemon/ingress-ports.ts";
import { BindError, type BoundSocket } from "../../../src/kernel/socket.ts";
import type { Log } from "../../../src/observe/log.ts";

function lab(taken: number[] = []) {
  const said: string[] = [];
  const closed: number[] = [];
  let fd = 10;
  const log: Log = Object.assign((_level: string, message: string) => void said.push(message), { child: () => log });
  const ports = new IngressPorts(["192.0.2.1", "2001:db8::1"], log, {
    bind: ({ ip, port, type }) => {
      if (taken.includes(port)) throw new BindError("EADDRINUSE", `${type} port ${port}`);
      return { fd: fd++, ip, port, type };
    },
    close: (socket: BoundSocket) => void closed.push(socket.fd),
    who: ({ ip, port }) =>
      port === 80
        ? { pid: process.pid, command: "fairway process daemon" }
        : ip === "192.0.2.1"
          ? { pid: 7, command: "nginx -g" }
          : undefined,
  });
  const shown = (process: number): readonly string[] => ports.socketsFor(process).map((s) => `${s.fd} ${s.type} ${s.ip} ${s.port}`);
  return { ports, said, closed, shown };
}

const object = (name: string) => ({ kind: "ConfigMap", namespace: "ingress-nginx", name });
const tcp = { protocol: "tcp", port: 9000, object: object("tcp-services") } as const;
const udp = { protocol: "udp", port: 53, object: object("udp-services") } as const;

test("each port on each address; datagrams for the first process alone", () => {
  const { ports, shown } = lab();
  expect(ports.change([tcp, udp])).toEqual({ changed: true, left: [] });
  expect(shown(0)).toEqual(["10 tcp 192.0.2.1 9000", "11 udp 192.0.2.1 53", "12 tcp 2001:db8::1 9000", "13 udp 2001:db8::1 53"]);
  expect(shown(1)).toEqual(["10 tcp 192.0.2.1 9000", "12 tcp 2001:db8::1 9000"]);
  expect(ports.change([udp, tcp])).toEqual({ changed: false, left: [] });
});

test("a port that is no longer wanted stays bound until it is released", () => {
  const { ports, closed, shown } = lab();
  ports.change([tcp, udp]);
  const { changed, left } = ports.change([udp]);
  expect([changed, closed]).toEqual([true, []]);
  ports.release(left);
  expect(closed).toEqual([10, 12]);
  expect(shown(1)).toEqual([]);
  ports.close();
  expect(closed).toEqual([10, 12, 11, 13]);
});

test("sockets of an earlier daemon are served until it is known that they are not wanted, and never bound again", () => {
  const { ports, shown } = lab();
  const had = (ip: string, port: number, fd: number) => ({ fd, ip, port, type: "tcp", name: "service-port" }) as const;
  ports.adopt([had("192.0.2.1", 9000, 5), had("2001:db8::1", 9000, 6), had("192.0.2.1", 9001, 7)]);
  expect(shown(0)).toEqual(["5 tcp 192.0.2.1 9000", "6 tcp 2001:db8::1 9000", "7 tcp 192.0.2.1 9001"]);
  expect(ports.change([tcp])).toMatchObject({ changed: true, left: [{ fd: 7 }] });
  expect(ports.all.map((s) => s.fd)).toEqual([5, 6]);
});

test("a port of this daemon itself is said to be that: nobody else is to be ended for it", () => {
  const { ports } = lab([80]);
  ports.change([{ ...tcp, port: 80 }]);
  expect(refusalProblems(ports.refused, "edge")[0]?.message).toBe(
    "node edge does not serve TCP port 80: tcp 192.0.2.1:80 is this daemon's own (http and https of the ingress, DNS, metrics); choose another port; it is tried again until it is free",
  );
});

test("a port that another program has is a Problem that names its ConfigMap's key and who has it; it is tried again, told once", () => {
  const taken = [9000];
  const { ports, said, shown } = lab(taken);
  expect(ports.change([tcp, udp])).toMatchObject({ changed: true });
  expect(shown(0)).toEqual(["10 udp 192.0.2.1 53", "11 udp 2001:db8::1 53"]);
  expect(refusalProblems(ports.refused, "edge").map((p) => p.message)).toEqual([
    "node edge does not serve TCP port 9000: cannot bind tcp port 9000: EADDRINUSE (another program has it; end that program or choose another port); process 7 has it: nginx -g; it is tried again until it is free",
    "node edge does not serve TCP port 9000: cannot bind tcp port 9000: EADDRINUSE (another program has it; end that program or choose another port); it is tried again until it is free",
  ]);
  expect(refusalProblems(ports.refused, "edge")[0]).toMatchObject({ object: tcp.object, field: "data[9000]", reason: "PortUnavailable" });
  expect(said).toHaveLength(2);
  expect(said[0]).toMatch(/^ingress: a port of a Service: cannot bind tcp port 9000: EADDRINUSE .*process 7 has it: nginx -g$/);
  expect(ports.change([tcp, udp])).toMatchObject({ changed: false });
  expect(said).toHaveLength(2);
  taken.length = 0;
  expect(ports.change([tcp, udp])).toMatchObject({ changed: true });
  expect(ports.refused).toEqual([]);
});
