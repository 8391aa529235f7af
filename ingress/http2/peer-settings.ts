import { errorCode, largestWindow, settingId, usualFrameBytes, usualWindow } from "./frames.ts";

/** Entries of one frame; what a side has to say are seven. */
const mostEntries = 32;

/** What the other side has said of itself. */
export class PeerSettings {
  initialWindow = usualWindow;
  /** Streams that it takes at once. */
  maxStreams = Number.POSITIVE_INFINITY;
  /** Said in the last frame. */
  headerTableBytes: number | undefined;
  readonly #takesPush: boolean;

  /** `takesPush`: it may say so, as a client may. */
  constructor(takesPush: boolean) {
    this.#takesPush = takesPush;
  }

  /** The payload of a SETTINGS frame; an error code where it breaks the rules, else 0. */
  read(bytes: Buffer, from: number, length: number): number {
    if (length % 6 !== 0) return errorCode.frameSize;
    if (length > 6 * mostEntries) return errorCode.enhanceYourCalm;
    this.headerTableBytes = undefined;
    for (let at = from; at < from + length; at += 6) {
      const fault = this.#set(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
      if (fault !== errorCode.none) return fault;
    }
    return errorCode.none;
  }

  #set(id: number, value: number): number {
    switch (id) {
      case settingId.headerTableSize:
        this.headerTableBytes = value;
        break;
      case settingId.enablePush:
        if (value > (this.#takesPush ? 1 : 0)) return errorCode.protocol;
        break;
      case settingId.maxConcurrentStreams:
        this.maxStreams = value;
        break;
      case settingId.initialWindowSize:
        if (value > largestWindow) return errorCode.flowControl;
        this.initialWindow = value;
        break;
      case settingId.maxFrameSize:
        // what is sent stays as short as it is, so that all streams get their turn
        if (value < usualFrameBytes || value >= 2 ** 24) return errorCode.protocol;
        break;
    }
    return errorCode.none;
  }
}
