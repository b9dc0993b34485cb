"""Execute a cell as a browser does: `python cell.py URL TOKEN < CODE` prints what it says.

A kernel is started by JupyterLab's REST API, and its channels are one websocket.
"""

import asyncio
import json
import sys
import uuid
from typing import Any

import aiohttp


async def execute(url: str, token: str, code: str) -> str:
    """Return what *code* prints in a kernel of its own; what it raises is raised here."""
    headers = {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(headers=headers) as browser:
        async with browser.post(f"{url}/api/kernels", json={"name": "python3"}) as answer:
            answer.raise_for_status()
            kernel = (await answer.json())["id"]
        try:
            async with browser.ws_connect(f"{url}/api/kernels/{kernel}/channels") as channels:
                await channels.send_json(_request(code))
                return await _outcome(channels)
        finally:
            await browser.delete(f"{url}/api/kernels/{kernel}")


def _request(code: str) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "session": uuid.uuid4().hex,
        "username": "",
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
    }


async def _outcome(channels: aiohttp.ClientWebSocketResponse) -> str:
    said = ""
    async for message in channels:
        told = json.loads(message.data)
        content = told["content"]
        match told["msg_type"]:
            case "stream" if content["name"] == "stdout":
                said += content["text"]
            case "error":
                raise RuntimeError("\n".join(content["traceback"]))
            case "execute_reply":
                return said
    raise RuntimeError("the kernel hung up")


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(execute(sys.argv[1], sys.argv[2], sys.stdin.read())))
