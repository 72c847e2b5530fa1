// Looks at the memory of the Worker's isolate, through the inspector that wrangler keeps open for one client.
//
//   node isolate.mjs PORT < commands
//
// Each line of its input is answered with a line: the most bytes of heap, of objects behind it and of buffers that were
// seen since the line before. WebAssembly's memory is not in it. The end of its input ends it.
import { createInterface } from "node:readline";

// How often it looks, in milliseconds.
const INTERVAL = 250;

const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/ws`, { headers: { origin: "http://localhost" } });
const waiting = new Map();
socket.addEventListener("message", ({ data }) => {
  const { id, result } = JSON.parse(data);
  waiting.get(id)?.(result);
  waiting.delete(id);
});
socket.addEventListener("close", ({ code, reason }) => {
  console.error(`the inspector closed: ${code} ${reason}`);
  process.exit(1);
});
await new Promise((opened) => socket.addEventListener("open", opened));

let most = 0;
let asked = 0;
async function look() {
  const id = ++asked;
  socket.send(JSON.stringify({ id, method: "Runtime.getHeapUsage" }));
  const seen = await new Promise((answered) => waiting.set(id, answered));
  most = Math.max(most, seen.usedSize + seen.embedderHeapUsedSize + seen.backingStorageSize);
}

let isOver = false;
const looks = (async () => {
  while (!isOver) {
    await look();
    await new Promise((later) => setTimeout(later, INTERVAL));
  }
})();
for await (const _ of createInterface({ input: process.stdin })) {
  await look();
  console.log(most);
  most = 0;
}
isOver = true;
await looks;
process.exit(0);
