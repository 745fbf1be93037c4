"""What masks cost a client and the coordinator, for `bench_privacy.py`.

`python tests/benchmarks/privacy_masks.py [CLIENTS]` prints one figure a line. One thread, process CPU time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from nasturtium.privacy.keys.identity_secret import Identity
from nasturtium.privacy.masking.attempts import AttemptJournal
from nasturtium.privacy.masking.coordinator import MaskingRound
from nasturtium.privacy.masking.plan import MaskingPlan, smallest_threshold
from nasturtium.privacy.masking.site import MaskingSite
from nasturtium.privacy.masking.stream import MaskSum
from nasturtium.privacy.presets import DEGREE, smallest_preset

REPEATS = 3
DROPOUTS = 0.2  # of the clients: so many share and do not upload, and a quarter of the rest does not answer after it
BLOCK = 16 * DEGREE  # as much of a mask as is taken at a time


def measure(parameters: int, clients: int) -> dict[str, float]:
    """Run a masked round of 8-bit updates in which a fifth of the clients drops out.

    Args:
        parameters: of the model.
        clients: at least 6.

    Returns:
        `client_mask_s_per_million`: CPU seconds to expand a client's mask, per million parameters; median of 3.
        `client_protocol_s`: CPU seconds of a client for the messages of a round, whatever the parameters; median.
        `client_sent_bytes`, `client_received_bytes`: of these messages.
        `server_protocol_s`: CPU seconds of the coordinator for the messages.
        `uncancelled`: coefficients of a ciphertext in which the masks of the sum, without what the coordinator takes
            out of it, are not zero.
        `server_unmask_s_per_million`: CPU seconds to expand the mask of the sum, per million parameters.
    """
    preset = smallest_preset(clients, 8)
    count = preset.ciphertexts(parameters) * DEGREE
    plan = MaskingPlan(
        layout="00" * 32,
        run="BENCHMARK",
        round=1,
        attempt=1,
        roster_sha256="00" * 32,
        modulus=preset.plain_modulus,
        threshold=smallest_threshold(clients, 1),
        colluders=1,
    )
    identities = sorted((Identity.generate(f"site-{i}") for i in range(clients)), key=lambda one: one.public.id)
    members = {identity.public.id: identity.public for identity in identities}
    sites = {one.public.id: MaskingSite(one, plan, members, AttemptJournal(None)) for one in identities}
    coordinator = MaskingRound(plan, members)
    spent = dict.fromkeys(["coordinator", *sites], 0.0)

    def timed(party: str, step: Callable[..., Any], *arguments: Any) -> Any:
        started = time.process_time()
        result = step(*arguments)
        spent[party] += time.process_time() - started
        return result

    def ask(ids: Iterable[str], step: Callable[[MaskingSite], Any]) -> dict[str, Any]:
        return {id: timed(id, step, sites[id]) for id in ids}

    def collect(step: Callable[..., Any], replies: Any) -> Any:
        return timed("coordinator", step, replies)

    ids = list(sites)
    uploading = ids[int(DROPOUTS * clients) :]
    answering = uploading[len(uploading) // 4 :]
    adverts = collect(coordinator.collect_adverts, ask(ids, MaskingSite.advertise))
    dealt = ask(ids, lambda site: site.share(adverts))
    delivered = collect(coordinator.collect_shares, dealt)
    masks = ask(uploading, lambda site: site.mask(delivered[site.id]))
    survivors = collect(coordinator.fix_survivors, masks)
    confirmations = collect(coordinator.collect_confirmations, ask(uploading, lambda site: site.confirm(survivors)))
    replies = ask(answering, lambda site: site.reveal(confirmations))
    removed = collect(coordinator.collect_reveals, replies)

    left = sum(mask.take(DEGREE).astype(object) for mask in masks.values()) - removed.take(DEGREE)
    some = list(masks.values())[:REPEATS]
    expanded = median(_expand(mask, count) for mask in some)
    last = ids[-1]
    sent = len(adverts) // clients + len(dealt[last]) + len(confirmations) // len(survivors) + len(replies[last])
    return {
        "client_mask_s_per_million": expanded / parameters * 1e6,
        "client_protocol_s": median(spent[id] for id in answering),
        "client_sent_bytes": sent,
        "client_received_bytes": len(adverts) + len(delivered[last]) + 32 * len(survivors) + len(confirmations),
        "server_protocol_s": spent["coordinator"],
        "uncancelled": int((left % preset.plain_modulus != 0).sum()),
        "server_unmask_s_per_million": _expand(removed, count) / parameters * 1e6,
    }


def _expand(mask: MaskSum, count: int) -> float:
    started = time.process_time()
    for start in range(0, count, BLOCK):
        mask.take(min(BLOCK, count - start))
    return time.process_time() - started


if __name__ == "__main__":
    for name, value in measure(1_000_000, int(sys.argv[1]) if len(sys.argv) > 1 else 64).items():
        print(f"{name} {value:.4g}")
