/** Retries of a pool as a share of its requests, and so many a second whatever the share. */
const requestsARetry = 5;
const freeEachSecond = 10;
const most = 500;

/** Keeps an ailing pool from being asked several times for every request (Finagle's and Linkerd's retry budget). */
export class RetryBudget {
  #requests = 0;
  #free = freeEachSecond;
  #second = 0;

  /** A request came. */
  deposit(): void {
    this.#requests = Math.min(most, this.#requests + 1);
  }

  /** False: no more retries for now. `now` is monotonic milliseconds. */
  take(now: number): boolean {
    if (now - this.#second >= 1_000) {
      this.#second = now;
      this.#free = freeEachSecond;
    }
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    if (this.#requests < requestsARetry) return false;
    this.#requests -= requestsARetry;
    return true;
  }
}
