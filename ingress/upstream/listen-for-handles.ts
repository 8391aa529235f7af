import type { Server, Socket } from "node:net";
import type { ListenAt, Listening } from "./connection.ts";
import { listenForSockets } from "./net-connection.ts";
import { type AcceptedHandle, isAcceptedHandle, listeningHandleOf, type PeerName, type StreamBindings } from "./stream-handles.ts";
import { HandleLife } from "./stream-life.ts";

export interface OnAccepted {
  readonly onLife: (life: HandleLife) => void;
  /** Where the listening handle is not as it is known to be. */
  readonly onSocket: (socket: Socket) => void;
}

/** Accepts connections at the handle below the server, before a socket is made for each. */
export function listenForHandles(at: ListenAt, bindings: StreamBindings, o: OnAccepted): Listening {
  return listenForSockets(at, o.onSocket, (server) => takeConnections(server, bindings, o.onLife));
}

/** Where a listening socket gives those that it accepts what was set on itself. */
const inherits = process.platform === "linux";

function takeConnections(server: Server, { ShutdownWrap }: StreamBindings, onLife: (life: HandleLife) => void): void {
  const listening = listeningHandleOf(server);
  const address = server.address();
  if (listening === undefined || typeof address !== "object" || address === null) return;
  const { port: localPort } = address;
  const withSockets = listening.onconnection;
  listening.setNoDelay(true);
  // all come from one place: what the first one can do, all can
  let known = false;
  const isKnown = (client: unknown): client is AcceptedHandle => {
    known ||= isAcceptedHandle(client);
    return known;
  };
  listening.onconnection = (error, client) => {
    if (error !== 0 || !isKnown(client)) {
      Reflect.apply(withSockets, listening, [error, client]);
      return;
    }
    const name: PeerName = {};
    const { address: ip, port } = client.getpeername(name) === 0 ? name : {};
    // who has gone already is nobody whom a list of addresses could judge
    if (ip === undefined || port === undefined) {
      client.close();
      return;
    }
    if (!inherits) client.setNoDelay(true);
    onLife(new HandleLife(client, { peer: { ip, port }, localPort, ShutdownWrap }));
  };
}
