"""The engine as the tests look at it past the runtime: what is labelled as a run's."""

from __future__ import annotations

from harness.runtime._engine import JOURNAL_LABEL, Engine


def labelled(engine: Engine) -> set[str]:
    """The journals that containers, networks and volumes of the engine are labelled with."""
    client, by_label = engine.tools.client, {"label": JOURNAL_LABEL}
    networks = [network.attrs["Labels"] for network in client.networks.list(filters=by_label)]
    volumes = [volume.attrs["Labels"] for volume in client.volumes.list(filters=by_label)]
    containers = [
        container.labels for container in client.containers.list(all=True, filters=by_label, ignore_removed=True)
    ]
    return {labels[JOURNAL_LABEL] for labels in [*networks, *volumes, *containers]}
