import type { Socket } from "node:dgram";
import { type Ip, printHostPort } from "../../src/base/ip.ts";
import { createUdpSocket } from "../../src/kernel/udp-socket.ts";
import { encodeMessage, type Message } from "../wire/message.ts";
import { UpstreamError } from "./errors.ts";
import { matchAnswer } from "./match-answer.ts";

/** So many are open before one is taken again: with the id, what a forger must guess. */
const choice = 32;
/** More are not kept after a burst. */
const mostFree = 512;
/** A line, and so its port, serves for so many questions, and no longer than this (milliseconds). */
const maxQuestions = 64;
const maxAge = 5000;

interface Question {
  readonly query: Message;
  readonly letters: "same" | "any";
  readonly finish: (end: Message | Error | "letters") => void;
}

/** The lines whose questions end with one signal. */
interface Ending {
  readonly lines: Set<Line>;
  readonly stop: () => void;
}

/** What became of a question over UDP; `letters`: the answer has the question's in another case than they were sent in. */
export type UdpAnswer = Message | "letters";

export interface UdpAsk {
  readonly within: number;
  readonly signal: AbortSignal;
  readonly letters: "same" | "any";
}

/**
 * Asks one server over UDP. A question has a connected socket to itself, so that the kernel drops what others send and a refusal
 * (ICMP) is known at once; its port is one of many that the system chose. To open a socket costs more than all else of a question, so
 * each is used again, for a while. Packets that do not match are ignored: a forger's must not end the wait.
 */
export class UdpLines {
  readonly #to: { readonly ip: Ip; readonly port: number };
  readonly #source: Ip | undefined;
  readonly #random: () => number;
  readonly #all = new Set<Line>();
  readonly #free: Line[] = [];
  /** Questions that end with a signal, which has one listener for all of them: each more would look through those before it. */
  readonly #signals = new Map<AbortSignal, Ending>();
  #sweep: NodeJS.Timeout | undefined;

  constructor(to: { readonly ip: Ip; readonly port: number }, random: () => number, source?: Ip) {
    this.#to = to;
    this.#source = source;
    this.#random = random;
  }

  /** Throws an UpstreamError, or the signal's reason. `within` in milliseconds. */
  ask(query: Message, { within, signal, letters }: UdpAsk): Promise<UdpAnswer> {
    const line = this.#take();
    return new Promise((resolve, reject) => {
      const finish = (end: Message | Error | "letters"): void => {
        clearTimeout(timer);
        this.#forget(signal, line);
        line.question = undefined;
        // whose answer may still come is not used again
        if (end instanceof Error) this.#drop(line);
        else this.#release(line);
        if (end instanceof Error) reject(end);
        else resolve(end);
      };
      const timer = setTimeout(() => finish(new UpstreamError("timeout", line.where)), Math.max(1, within));
      if (signal.aborted) {
        finish(reasonOf(signal));
        return;
      }
      this.#endWith(signal, line);
      line.ask({ query, letters, finish });
    });
  }

  #endWith(signal: AbortSignal, line: Line): void {
    let ending = this.#signals.get(signal);
    if (ending === undefined) {
      const lines = new Set<Line>();
      const stop = (): void => {
        for (const asked of lines) asked.question?.finish(reasonOf(signal));
      };
      ending = { lines, stop };
      this.#signals.set(signal, ending);
      signal.addEventListener("abort", stop, { once: true });
    }
    ending.lines.add(line);
  }

  #forget(signal: AbortSignal, line: Line): void {
    const ending = this.#signals.get(signal);
    if (ending?.lines.delete(line) !== true || ending.lines.size > 0) return;
    this.#signals.delete(signal);
    signal.removeEventListener("abort", ending.stop);
  }

  close(): void {
    clearTimeout(this.#sweep);
    for (const line of this.#all) {
      line.question?.finish(new UpstreamError("closed", line.where));
      line.close();
    }
    this.#all.clear();
    this.#free.length = 0;
  }

  #take(): Line {
    while (this.#free.length > 0 && this.#all.size >= choice) {
      const at = Math.floor(this.#random() * this.#free.length);
      const line = this.#free[at];
      const last = this.#free.pop();
      if (line === undefined || last === undefined) break;
      if (last !== line) this.#free[at] = last;
      if (line.isFresh()) return line;
      this.#drop(line);
    }
    const line = new Line(this.#to, this.#source);
    this.#all.add(line);
    return line;
  }

  #release(line: Line): void {
    if (!line.isFresh() || this.#free.length >= mostFree) {
      this.#drop(line);
      return;
    }
    this.#free.push(line);
    this.#sweep ??= setTimeout(() => {
      this.#sweep = undefined;
      for (const free of this.#free.splice(0)) this.#release(free);
    }, maxAge).unref();
  }

  #drop(line: Line): void {
    this.#all.delete(line);
    line.close();
  }
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error("aborted");
}

/** One socket. */
class Line {
  readonly where: string;
  question: Question | undefined;
  readonly #socket: Socket;
  readonly #opened = performance.now();
  #asked = 0;
  #isOpen = false;
  #isClosed = false;

  constructor(to: { readonly ip: Ip; readonly port: number }, source: Ip | undefined) {
    this.where = printHostPort(to.ip, to.port);
    const socket = createUdpSocket(to.ip, "as it is");
    this.#socket = socket;
    socket.on("error", (error) => this.question?.finish(new UpstreamError("unreachable", this.where, error)));
    socket.on("message", (bytes: Buffer) => this.#read(bytes));
    const connect = (): void =>
      socket.connect(to.port, to.ip, () => {
        this.#isOpen = true;
        this.#send();
      });
    if (source === undefined) connect();
    else socket.bind({ address: source }, connect);
  }

  isFresh(): boolean {
    return this.#isOpen && this.#asked < maxQuestions && performance.now() - this.#opened < maxAge;
  }

  ask(question: Question): void {
    this.question = question;
    this.#asked++;
    if (this.#isOpen) this.#send();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }

  #send(): void {
    const { question } = this;
    if (question === undefined || this.#isClosed) return;
    this.#socket.send(encodeMessage(question.query), (error) => {
      if (error !== null && this.question === question) question.finish(new UpstreamError("unreachable", this.where, error));
    });
  }

  #read(bytes: Buffer): void {
    const { question } = this;
    if (question === undefined) return;
    const answer = matchAnswer(question.query, bytes, "any");
    if (answer === undefined) return;
    const isSame = question.letters === "any" || answer.questions[0]?.name === question.query.questions[0]?.name;
    question.finish(isSame ? answer : "letters");
  }
}
