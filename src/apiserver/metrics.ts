/** What the server counts of itself, in Prometheus' text format. */
export class Metrics {
  readonly #requests = new Map<string, number>();
  #seconds = 0;
  #count = 0;

  observe(method: string, status: number, milliseconds: number): void {
    const key = `verb="${method}",code="${status}"`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    this.#seconds += milliseconds / 1000;
    this.#count++;
  }

  /** `objects` and `watchers` are by resource; the revision is the store's. */
  print(state: {
    readonly rev: number;
    readonly objects: ReadonlyMap<string, number>;
    readonly watchers: ReadonlyMap<string, number>;
  }): string {
    const lines = [
      "# HELP apiserver_request_total Requests answered, by method and status code.",
      "# TYPE apiserver_request_total counter",
      ...[...this.#requests].map(([labels, n]) => `apiserver_request_total{${labels}} ${n}`),
      "# HELP apiserver_request_duration_seconds Time from a request's head to its answer's, without sending it.",
      "# TYPE apiserver_request_duration_seconds summary",
      `apiserver_request_duration_seconds_sum ${this.#seconds}`,
      `apiserver_request_duration_seconds_count ${this.#count}`,
      "# HELP apiserver_storage_objects Stored objects, by resource.",
      "# TYPE apiserver_storage_objects gauge",
      ...[...state.objects].map(([resource, n]) => `apiserver_storage_objects{resource="${resource}"} ${n}`),
      "# HELP apiserver_longrunning_requests Open watches, by resource.",
      "# TYPE apiserver_longrunning_requests gauge",
      ...[...state.watchers].map(([resource, n]) => `apiserver_longrunning_requests{verb="WATCH",resource="${resource}"} ${n}`),
      "# HELP fairway_store_revision The revision that reads show.",
      "# TYPE fairway_store_revision gauge",
      `fairway_store_revision ${state.rev}`,
    ];
    return `${lines.join("\n")}\n`;
  }
}
