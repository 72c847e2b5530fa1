"""Sends with aioapns: one client for the process, as its documentation shows, and pushes in flight at once.

The protocol of all peers (see docs/internals/benchmark.md): standard input has one order a line, the very JSON document that
apns-edge takes over HTTP; standard output gets one result a line; the end of the input ends the program.
"""

import asyncio
import json
import os
import ssl
import sys
import time

from aioapns import APNs, NotificationRequest, PushType

# How many pushes are in flight: what one connection to APNs may carry.
WINDOW = int(os.environ["WINDOW"])

# The longest line that an order may be: 10,000 devices at some 100 bytes each, several times over.
LONGEST_ORDER = 16 * 1024 * 1024


class Results:
    """Results that come in one turn of the event loop leave in one write."""

    def __init__(self, loop):
        self.loop = loop
        self.lines = []

    def add(self, result):
        if not self.lines:
            self.loop.call_soon(self.flush)
        self.lines.append(json.dumps(result))

    def flush(self):
        sys.stdout.write("\n".join(self.lines) + "\n")
        sys.stdout.flush()
        self.lines = []


async def push(client, notification, device, results):
    started = time.perf_counter()
    request = NotificationRequest(
        device_token=device["token"],
        message=notification["payload"],
        priority=notification["priority"],
        push_type=PushType(notification["push_type"]),
    )
    try:
        answer = await client.send_notification(request)
        code, reason = int(answer.status), answer.description
    except Exception as error:  # Whatever happens is this push's result.
        code, reason = 0, repr(error)
    status = "accepted" if code == 200 else "rejected" if code else "failed"
    milliseconds = (time.perf_counter() - started) * 1000
    results.add({"ref": device["ref"], "status": status, "code": code, "reason": reason, "ms": milliseconds})


async def main():
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=LONGEST_ORDER)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    with open(os.environ["APNS_KEY"], encoding="ascii") as key:
        client = APNs(
            key=key.read(),
            key_id=os.environ["APNS_KEY_ID"],
            team_id=os.environ["APNS_TEAM_ID"],
            topic=os.environ["APNS_TOPIC"],
            use_sandbox=False,
            # Each connection signs a provider token of its own, and APNs refuses a second one within 20 minutes.
            max_connections=1,
            ssl_context=ssl.create_default_context(cafile=os.environ["APNS_CA"]),
        )
    results = Results(loop)
    window = asyncio.Semaphore(WINDOW)
    pushes = set()

    def done(task):
        pushes.discard(task)
        window.release()

    while line := await orders.readline():
        order = json.loads(line)
        for device in order["devices"]:
            await window.acquire()
            task = asyncio.create_task(push(client, order["notification"], device, results))
            pushes.add(task)
            task.add_done_callback(done)
    await asyncio.gather(*pushes)
    client.pool.close()


asyncio.run(main())
