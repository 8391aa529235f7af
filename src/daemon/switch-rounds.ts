import type { Clock } from "../base/clock.ts";
import { type KeyedDelta, mergeDeltas } from "./state-stream.ts";

/** A process that hangs holds up the others for so long, once. Milliseconds. */
export const switchWithinMs = 250;

export interface SwitchRoundsDeps<C> {
  readonly clock: Clock;
  /** To be prepared by each of them. */
  readonly send: (to: readonly C[], delta: KeyedDelta) => void;
  /** What was sent to it before comes into force. */
  readonly tellSwitch: (to: C) => void;
  /** It did not prepare in time; the others have not waited. */
  readonly onLate: (who: C) => void;
}

interface Round<C> {
  readonly revision: number;
  readonly waiting: Set<C>;
  readonly over: AbortController;
}

/**
 * The processes that serve one table switch to its next revision together, in two steps: all of them prepare it, then all are
 * told to switch. So no process serves a revision that another could not yet; and what changes meanwhile is one change, the next
 * round's. Who has not prepared within `switchWithinMs` is late: the others switch, and nobody waits for it again before it
 * has caught up, which it does in order, since what it is told waits in its stream.
 */
export class SwitchRounds<C> {
  readonly #deps: SwitchRoundsDeps<C>;
  readonly #members = new Set<C>();
  readonly #late = new Set<C>();
  /** What they were sent last is not in force yet. */
  readonly #unswitched = new Set<C>();
  #round: Round<C> | undefined;
  #pending: KeyedDelta | undefined;

  constructor(deps: SwitchRoundsDeps<C>) {
    this.#deps = deps;
  }

  /** These are being given the full state, at least at this revision: none of them switches before all have prepared it. */
  expect(children: readonly C[], revision: number): void {
    if (this.#round === undefined && children.length > 1) this.#begin(children, revision);
  }

  /** It has been sent the full state, and takes part in rounds. */
  add(child: C): void {
    this.#members.add(child);
    this.#unswitched.add(child);
  }

  remove(child: C): void {
    this.#members.delete(child);
    this.#late.delete(child);
    this.#unswitched.delete(child);
    this.#leave(child);
  }

  change(delta: KeyedDelta): void {
    this.#pending = this.#pending === undefined ? delta : mergeDeltas(this.#pending, delta);
    if (this.#round === undefined) this.#next();
  }

  prepared(child: C, revision: number): void {
    if (this.#round === undefined) {
      this.#late.delete(child);
      this.#switch(child);
      return;
    }
    if (revision < this.#round.revision) return;
    this.#late.delete(child);
    this.#leave(child);
  }

  close(): void {
    this.#members.clear();
    this.#unswitched.clear();
    this.#pending = undefined;
    this.#round?.over.abort();
    this.#round = undefined;
  }

  #next(): void {
    const delta = this.#pending;
    if (delta === undefined) return;
    this.#pending = undefined;
    const all = [...this.#members];
    this.#deps.send(all, delta);
    for (const child of all) this.#unswitched.add(child);
    this.#begin(
      all.filter((c) => !this.#late.has(c)),
      delta.revision,
    );
  }

  #begin(waitFor: readonly C[], revision: number): void {
    const round: Round<C> = { revision, waiting: new Set(waitFor), over: new AbortController() };
    this.#round = round;
    // one that is alone has nobody to wait for
    if (waitFor.length === 0 || this.#members.size === 1) {
      this.#end(round);
      return;
    }
    this.#deps.clock.sleep(switchWithinMs, round.over.signal).then(
      () => this.#end(round),
      () => undefined,
    );
  }

  #leave(child: C): void {
    const round = this.#round;
    if (round?.waiting.delete(child) === true && round.waiting.size === 0) this.#end(round);
  }

  #end(round: Round<C>): void {
    round.over.abort();
    for (const child of round.waiting) {
      if (this.#members.size < 2 || !this.#members.has(child)) continue;
      this.#late.add(child);
      this.#deps.onLate(child);
    }
    this.#round = undefined;
    for (const child of this.#members) this.#switch(child);
    this.#next();
  }

  #switch(child: C): void {
    if (this.#unswitched.delete(child)) this.#deps.tellSwitch(child);
  }
}
