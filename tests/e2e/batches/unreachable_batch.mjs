// The Worker, with batches that cannot be reached for a while: from the first report of the end of a chunk on, an object refuses
// every command for 7 s, and logs `refused a report` for each report of an end.
import { BatchObject as Batch } from "./product.js";

export * from "./product.js";
export { default } from "./product.js";

const AWAY_MS = 7000;

export class BatchObject {
  constructor(state, env) {
    this.batch = new Batch(state, env);
  }

  async fetch(request) {
    if (new URL(request.url).pathname === "/command") {
      const command = await request.clone().text();
      const isLast = command.includes('"over":true');
      if (isLast) this.backAt ??= Date.now() + AWAY_MS;
      if (Date.now() < this.backAt) {
        if (isLast) console.log("refused a report");
        throw new Error("the batch cannot be reached");
      }
    }
    return this.batch.fetch(request);
  }

  alarm() {
    return this.batch.alarm();
  }
}
