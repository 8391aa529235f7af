import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { libc } from "../../../src/kernel/libc.ts";
import { noticeService, takeNoticeSocket, unixAddress } from "../../../src/kernel/service-notice.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

test.each(["a path", "an abstract name"])("a service manager at %s is told; one that is gone is no error", (kind) => {
  const folder = mkdtempSync(join(tmpdir(), "fairway-notice-"));
  const path = kind === "a path" ? join(folder, "notify") : `@fairway-notice-${process.pid}`;
  const c = libc();
  const fd = c.socket(AF_UNIX, SOCK_DGRAM, 0);
  try {
    expect(noticeService(path, "READY=1")).toBe(false);
    const address = unixAddress(path);
    expect(c.bind(fd, address, address.length)).toBe(0);
    expect(noticeService(path, "READY=1")).toBe(true);
    const got = new Uint8Array(64);
    const length = c.recv(fd, got, got.length, MSG_DONTWAIT);
    expect(Buffer.from(got.subarray(0, Number(length))).toString()).toBe("READY=1");
  } finally {
    c.close(fd);
    rmSync(folder, { recursive: true });
  }
});

test("the environment of children does not have it", () => {
  const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: "/run/n", PATH: "/bin" };
  expect(takeNoticeSocket(env)).toBe("/run/n");
  expect(env).toEqual({ PATH: "/bin" });
  expect(takeNoticeSocket(env)).toBeUndefined();
});
