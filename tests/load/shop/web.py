"""The shop: accepts orders under their sender's own id, and forgets each tenth. Prints its port."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

FORGETS_EACH = 10


class Shop:
    def __init__(self) -> None:
        self.orders: dict[str, Any] = {}
        self.count = 0

    async def order(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.count += 1
        if self.count % FORGETS_EACH:
            self.orders[order["mine"]] = order
        return web.json_response({}, status=202)

    async def state(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["mine"])
        return web.json_response({"state": "done", **order} if order else {"state": "pending"})

    async def page(self, request: web.Request) -> web.Response:
        match request.match_info["how"]:
            case "full":
                return web.Response(status=503)
            case "broken":
                return web.Response(status=500)
            case "slow":
                await asyncio.sleep(30)
        return web.Response(text="welcome")


async def main() -> None:
    shop = Shop()
    app = web.Application()
    app.router.add_post("/orders", shop.order)
    app.router.add_get("/orders/{mine}", shop.state)
    app.router.add_get("/pages/{how}", shop.page)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
