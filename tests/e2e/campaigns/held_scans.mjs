// The Worker, with scans that go only so far: batches take STEPS steps with device lines from their shards, and refuse what
// follows a second later, with `held a step` in the log. A batch that tells a scan to wait is logged as `a scan waits`; the wait
// is shortened to a second.
import { BatchObject as Batch } from "./product.js";

export * from "./product.js";
export { default } from "./product.js";

const WAIT_MS = 1000;

let taken = 0;

export class BatchObject {
  constructor(state, env) {
    this.batch = new Batch(state, env);
    this.steps = Number(env.STEPS);
  }

  async fetch(request) {
    const text = new URL(request.url).pathname === "/command" ? await request.clone().text() : "";
    if (!text.startsWith('{"append":')) return this.batch.fetch(request);
    const { append } = JSON.parse(text.slice(0, text.indexOf("\n")));
    if (append.pushes > 0 && taken >= this.steps) {
      console.log("held a step");
      await new Promise((done) => setTimeout(done, WAIT_MS));
      throw new Error("the step is held");
    }
    if (append.pushes > 0) taken += 1;
    const response = await this.batch.fetch(request);
    if (response.status !== 200) return response;
    const answer = await response.json();
    if (answer.hold_ms > 0) {
      console.log("a scan waits");
      answer.hold_ms = Math.min(answer.hold_ms, WAIT_MS);
    }
    return Response.json(answer);
  }

  alarm() {
    return this.batch.alarm();
  }
}
