# SPDX-License-Identifier: Apache-2.0
"""One WebSocket connection of Python's websockets, told what to do in lines of
JSON on standard input, and telling what happens on standard output. Arguments:
dial or listen, and the settings as JSON."""

import asyncio
import base64
import json
import ssl
import sys

import websockets


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


async def obey(ws, commands):
    """Runs the commands, in their order."""
    while line := await commands.readline():
        c = json.loads(line)
        if c["do"] == "ping":
            await (await ws.ping())
            say("pong")
        elif c["do"] == "close":
            await ws.close(c["code"], c["reason"])
        else:
            parts = [base64.b64decode(p) for p in c["parts"]]
            if c["text"]:
                parts = [p.decode() for p in parts]
            await ws.send(parts[0] if len(parts) == 1 else parts)


async def talk(ws, commands):
    say("open", protocol=ws.subprotocol or "")
    obeying = asyncio.ensure_future(obey(ws, commands))
    try:
        async for m in ws:
            data = m.encode() if isinstance(m, str) else m
            say("message", text=isinstance(m, str), data=base64.b64encode(data).decode())
    except websockets.ConnectionClosed:
        pass
    await ws.wait_closed()
    say("close", code=ws.close_code, reason=ws.close_reason)
    obeying.cancel()
    await asyncio.gather(obeying, return_exceptions=True)


async def main(how, o):
    commands = asyncio.StreamReader(limit=64 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    settings = {
        "subprotocols": o["protocols"],
        "compression": "deflate" if o["deflate"] else None,
        "max_size": None,
        "ping_interval": None,
    }
    context = None
    if how == "dial":
        if o["ca"]:
            context = ssl.create_default_context(cafile=o["ca"])
        async with websockets.connect(o["url"], ssl=context, **settings) as ws:
            await talk(ws, commands)
        return
    if o["cert"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(o["cert"], o["key"])
    done = loop.create_future()

    async def handler(ws):
        await talk(ws, commands)
        done.set_result(None)

    async with websockets.serve(handler, "127.0.0.1", 0, ssl=context, **settings) as server:
        port = server.sockets[0].getsockname()[1]
        say("listening", url=f"ws{'s' if context else ''}://127.0.0.1:{port}/chat")
        await done


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
