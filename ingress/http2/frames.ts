/** RFC 9113 section 6. */
export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const frameFlag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

/** RFC 9113 section 7. */
export const errorCode = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

/** RFC 9113 section 6.5.2; `connectProtocol` is RFC 8441's. */
export const settingId = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  connectProtocol: 8,
} as const;

/** What a client says first (RFC 9113 section 3.4). */
export const clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** Payload of a frame, unless its receiver has allowed more; this side never does. */
export const usualFrameBytes = 16_384;
/** Of a stream and of a connection, before anything is said about it. */
export const usualWindow = 65_535;
/** No window may be larger. */
export const largestWindow = 2 ** 31 - 1;
export const headBytes = 9;

/** The nine bytes before a payload, as latin1: connections join text that is written in one turn. */
export function frameHead(length: number, kind: FrameKind, stream: number): string {
  return String.fromCharCode(
    length >>> 16,
    (length >>> 8) & 255,
    length & 255,
    kind.type,
    kind.flags,
    stream >>> 24,
    (stream >>> 16) & 255,
    (stream >>> 8) & 255,
    stream & 255,
  );
}

export interface FrameKind {
  readonly type: number;
  readonly flags: number;
}

/** Frames that are said often, by their type and flags. */
export const kinds = {
  data: { type: frameType.data, flags: 0 },
  lastData: { type: frameType.data, flags: frameFlag.endStream },
  headers: { type: frameType.headers, flags: frameFlag.endHeaders },
  onlyHeaders: { type: frameType.headers, flags: frameFlag.endHeaders | frameFlag.endStream },
  settings: { type: frameType.settings, flags: 0 },
  settingsAck: { type: frameType.settings, flags: frameFlag.ack },
  pingAck: { type: frameType.ping, flags: frameFlag.ack },
  reset: { type: frameType.reset, flags: 0 },
  goaway: { type: frameType.goaway, flags: 0 },
  window: { type: frameType.window, flags: 0 },
} as const;

export function printReset(stream: number, code: number): string {
  return frameHead(4, kinds.reset, stream) + uint32(code);
}

export function printWindowUpdate(stream: number, bytes: number): string {
  return frameHead(4, kinds.window, stream) + uint32(bytes);
}

export function printGoaway(lastStream: number, code: number): string {
  return frameHead(8, kinds.goaway, 0) + uint32(lastStream) + uint32(code);
}

export function printSettings(settings: readonly (readonly [id: number, value: number])[]): string {
  let text = frameHead(6 * settings.length, kinds.settings, 0);
  for (const [id, value] of settings) text += String.fromCharCode(id >>> 8, id & 255) + uint32(value);
  return text;
}

/** A field block in as many frames as it needs; `kind` is `headers` or `onlyHeaders`. */
export function printHeaders(stream: number, block: string, kind: FrameKind): string {
  if (block.length <= usualFrameBytes) return frameHead(block.length, kind, stream) + block;
  const first = { type: frameType.headers, flags: kind.flags & ~frameFlag.endHeaders };
  let text = frameHead(usualFrameBytes, first, stream) + block.slice(0, usualFrameBytes);
  for (let at = usualFrameBytes; at < block.length; at += usualFrameBytes) {
    const part = block.slice(at, at + usualFrameBytes);
    const flags = at + usualFrameBytes >= block.length ? frameFlag.endHeaders : 0;
    text += frameHead(part.length, { type: frameType.continuation, flags }, stream) + part;
  }
  return text;
}

function uint32(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}
