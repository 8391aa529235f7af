import { printHostPort } from "../base/ip.ts";
import { findListener } from "../kernel/listener.ts";
import { BindError, type BoundSocket, bindSocket } from "../kernel/socket.ts";

/** Ports below 1024 that this user may not bind move here, in plain mode. */
const movedBy = 8000;

type Wanted = Parameters<typeof bindSocket>[0];

/** Binds what an option of the command line asks for. A failure is told with the option's name; of a taken port, who has it, where that can be known. */
export function bindForOption(option: string, wanted: Wanted): BoundSocket {
  try {
    return bindSocket(wanted);
  } catch (error) {
    throw explained(option, wanted, error);
  }
}

/** The same; a port below 1024 that this user may not bind moves. */
export function bindOrMove(option: string, wanted: Wanted): BoundSocket {
  try {
    return bindSocket(wanted);
  } catch (error) {
    const refused = error instanceof BindError && error.code === "EACCES" && wanted.port > 0 && wanted.port < 1024;
    if (!refused) throw explained(option, wanted, error);
    return bindForOption(option, { ...wanted, port: wanted.port + movedBy });
  }
}

function explained(option: string, wanted: Wanted, error: unknown): unknown {
  if (!(error instanceof BindError)) return error;
  if (error.code !== "EADDRINUSE") return new Error(`${option}: ${error.message}`);
  const who = findListener(wanted);
  const listener = who === undefined ? "another program" : `process ${who.pid} (${who.command})`;
  return new Error(
    `${option}: ${wanted.type} ${printHostPort(wanted.ip, wanted.port)} is taken by ${listener}; end it or choose another port`,
  );
}
