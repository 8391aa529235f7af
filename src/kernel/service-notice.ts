import { libc } from "./libc.ts";

// include/linux/socket.h, asm-generic/socket.h
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** Where the service manager that started this process listens (sd_notify(3)). Taken out of the environment: children are not the service. */
export function takeNoticeSocket(env: NodeJS.ProcessEnv): string | undefined {
  const path = env["NOTIFY_SOCKET"];
  delete env["NOTIFY_SOCKET"];
  return path === undefined || path === "" ? undefined : path;
}

/** Tells the service manager, as `READY=1`. Whether it could be told. */
export function noticeService(path: string, state: string): boolean {
  const c = libc();
  const fd = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  try {
    const address = unixAddress(path);
    const text = Buffer.from(state);
    return c.connect(fd, address, address.length) === 0 && c.send(fd, text, text.length, MSG_NOSIGNAL) === text.length;
  } finally {
    c.close(fd);
  }
}

/** struct sockaddr_un; a name that starts with @ is none of the file system. */
export function unixAddress(path: string): Uint8Array {
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`);
  return Buffer.concat([new Uint8Array([AF_UNIX, 0]), name]);
}
