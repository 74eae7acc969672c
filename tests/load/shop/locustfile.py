"""A team's own locustfile, as teams write them: it knows nothing of the harness."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from locust import FastHttpUser, HttpUser, constant, events, task

GOODS = Path("goods.txt").read_text().split()  # beside this file, read when it is imported
NOBODY = os.environ["SHOP_NOBODY"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def options(parser: Any) -> None:
    parser.add_argument("--greeting", env_var="SHOP_GREETING", default="none")


class Customer(HttpUser):
    wait_time = constant(0.02)

    @task(5)
    def order(self) -> None:
        mine = uuid4().hex
        order = {"mine": mine, "goods": GOODS[0], "greeting": self.environment.parsed_options.greeting}
        self.client.post("/orders", json=order, name="order", context={"op": mine})

    @task
    def look(self) -> None:
        self.client.get("/pages/welcome")

    @task
    def full(self) -> None:
        self.client.get("/pages/full")

    @task
    def broken(self) -> None:
        self.client.get("/pages/broken")

    @task
    def impatient(self) -> None:
        self.client.get("/pages/slow", timeout=0.1)

    @task
    def dislike(self) -> None:
        with self.client.get("/pages/welcome", catch_response=True) as answer:
            answer.failure("too plain")

    @task
    def lost(self) -> None:
        self.client.get(NOBODY)

    @task
    def by_hand(self) -> None:
        self.environment.events.request.fire(
            request_type="queue", name="by hand", response_time=5, response_length=7, exception=None, context={}
        )


class Regular(FastHttpUser):
    wait_time = constant(0.02)

    @task
    def order(self) -> None:
        mine = uuid4().hex
        order = {"mine": mine, "goods": GOODS[0], "greeting": self.environment.parsed_options.greeting}
        self.client.post("/orders", json=order, context={"op": mine})

    @task
    def full(self) -> None:
        self.client.get("/pages/full")

    @task
    def lost(self) -> None:
        self.client.get(NOBODY)
