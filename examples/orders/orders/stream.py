"""The stream of orders and its one consumer, shared by all packers."""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

STREAM = "SHOP_ORDERS"
SUBJECT = "shop.orders.taken"
CONSUMER = "packers"

STREAM_CONFIG = StreamConfig(
    name=STREAM,
    subjects=["shop.orders.>"],
    retention=RetentionPolicy.WORK_QUEUE,
    storage=StorageType.FILE,
    duplicate_window=120,  # seconds
)


async def make_stream(js: JetStreamContext) -> None:
    """Make the stream; no effect where it is there already. Raises nats.errors.Error."""
    await js.add_stream(STREAM_CONFIG)


async def make_consumer(js: JetStreamContext, *, ack_wait_s: float) -> None:
    """Make the consumer; no effect where it is there already. It delivers for ever: an order is never given up."""
    await js.add_consumer(
        STREAM,
        ConsumerConfig(durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=ack_wait_s, max_deliver=-1),
    )
