// What the senders from npm share: orders in, results out, a window of pushes in flight.
//
// The protocol of all peers (see docs/internals/benchmark.md): standard input has one order a line, the very JSON document that
// apns-edge takes over HTTP; standard output gets one result a line; the end of the input ends the program.

import { createInterface } from "node:readline";

/** How many pushes a sender has in flight: what one connection to APNs may carry. */
const WINDOW = Number(process.env.WINDOW);

/**
 * Serves orders until the input ends.
 *
 * `prepare` takes an order's notification and returns a function that sends it to a device token; that function
 * resolves when APNs accepts the push and rejects with `{ code, reason }` when it does not.
 */
export async function serve(prepare) {
  const waiting = [];
  let inFlight = 0;

  async function send({ push, device }) {
    const started = performance.now();
    let end = { status: "accepted", code: 200 };
    try {
      await push(device.token);
    } catch ({ code = 0, reason }) {
      end = { status: code ? "rejected" : "failed", code, reason: String(reason) };
    }
    write({ ref: device.ref, ...end, ms: performance.now() - started });
    inFlight -= 1;
    launch();
  }

  function launch() {
    while (inFlight < WINDOW && waiting.length > 0) {
      const pushes = waiting[0];
      const next = pushes.next();
      if (next.done) {
        waiting.shift();
      } else {
        inFlight += 1;
        send(next.value);
      }
    }
  }

  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const { notification, devices } = JSON.parse(line);
    waiting.push(pushes(prepare(notification), devices));
    launch();
  }
}

function* pushes(push, devices) {
  for (const device of devices) {
    yield { push, device };
  }
}

let lines = [];

/** Results that come in one turn of the event loop leave in one write. */
function write(result) {
  if (lines.length === 0) {
    setImmediate(flush);
  }
  lines.push(JSON.stringify(result));
}

function flush() {
  process.stdout.write(lines.join("\n") + "\n");
  lines = [];
}
