"""A system file that uses every key that works."""

ORDERS = """\
[system]
name = "orders"

[broker]
version = "2.12.8"
nodes = 1
jetstream = { sync_interval = "2m" }
include = "their.conf"
connect = { user = "app", password = "{env:NATS_PASSWORD}" }

[streams.ORDERS]
subjects = ["orders.>"]
retention = "workqueue"

[services.store]
role = "dependency"
command = ["{python}", "-m", "store", "{port.http}", "{port.admin}"]
ports = { http = 9000, admin = 9001 }

[services.authenticate]
role = "dependency"
command = ["authenticate", "--port={port}"]
ports = { http = 8080 }

[services.worker]
role = "worker"
command = ["worker", "--broker", "{broker.host}:{broker.port}"]
replicas = 2
env = { STORE = "{store.admin.url}", PEERS = "{authenticate.urls}" }

[services.web]
role = "entry"
command = ["{python}", "-m", "orders.web", "--port", "{port}"]
image = "orders:latest"
replicas = 1
ports = { http = 3000 }
env = { NATS_URL = "{broker.url}", STORE_URL = "{store.url}", NAME = "{replica}" }
files = { "config.yaml" = "nats: {broker.url}\\nset: {{}}\\n" }
ready = "/healthz"
health = "/readyz"
metrics = "/metrics"
output = { format = "json", time = "ts", level = "level" }
stop = { signal = "TERM", grace = "10s" }

[[prepare]]
request = { method = "POST", url = "{authenticate.url}/login", json = { username = "u", password = "p" } }
keep = { token = "$.access_token" }

[workloads.orders]
kind = "http-async"
rate = 30
answers_s = 2
results_s = 10
submit = { method = "POST", url = "{web.url}/orders", json = { note = "marker:{op}" }, headers = { Authorization = "Bearer {token}", X-Request-Id = "{op}" }, accepted = [202], refused = [400, 401, 404, 429, 503], ref = "$.id" }
poll = { url = "{web.url}/orders/{ref}", every_s = 0.2, done = { "$.status" = ["complete"] }, failed = { "$.status" = ["failed"] }, gone = [404], proof = { "$.note" = "marker:{op}" } }
effects = { url = "{store.url}/executions?after={cursor}", each = "$.executions[*]", next = "$.next", op = "$.marker", by = "$.worker", begun = "$.begun", finished = "$.finished", attempt = "$.attempt", repeat = "$.repeat" }
dead = { subject = "orders.dlq.>", op = "$.envelope.note" }
taps = [{ subject = "orders.new", op = "$.note", step = "published" }]

[workloads.messages]
kind = "jetstream"
rate = 0.5
publish = { url = "{broker.url}", subject = "orders.new" }
stream = "ORDERS"
consume = true

[promises]
notices_s = 5
reconnects_s = 5
works_s = 5
drains_s = 15
stops_s = 10
settles_s = 20
effects = "exactly-once"
failed = 0.0

[hardening]
variable = "ORDERS_HARDENING"
switches = ["outbox", "dedup", "retry"]
needs = { dedup = ["outbox"] }

[states.documented]
hardening = "none"
expect = "exposed"
settles_s = 3
exposes = { broker_crash = { M3 = "no_loss" } }
[states.hardened]
hardening = "all"
expect = "holds"
"""  # noqa: E501
