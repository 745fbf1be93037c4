"""Encrypted sums against their bars, and NVIDIA FLARE's way of doing them beside them in the same run.

Run alone: `python tests/benchmarks/bench_privacy.py`. FLARE's way is made again from the calls that its HE filters and
its aggregator make (`nvflare/app_opt/he`): TenSEAL's CKKS vectors, symmetric, N = 8192, moduli of 60 + 40 + 40 bits,
scale 2**40; only those calls are timed. Ours are whole steps: quantised, encrypted and signed at a site; checked and
added at the coordinator; checked, opened and decoded at a site. Times are CPU seconds of one thread for a million
parameters, medians, ours and theirs in turn. Memory is the peak of a process of its own beyond its imports, all that it
holds counted (Linux).
Prints one line per bar, `BAR name value unit limit ok|short`, and exits with 1 if any is short. Takes a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import privacy_masks

from nasturtium.privacy import (
    Adder,
    Aggregator,
    Cipher,
    Identity,
    PackedAdder,
    PackedCipher,
    Preset,
    SecretKey,
    Sitting,
    StochasticQuantizer,
    open_sum,
    protect,
    smallest_preset,
)

PARAMETERS, CLIENTS, TURNS = 1_000_000, 10, 5
LARGE = 10_000_000
PEER_CLIENTS = 3  # in a turn: each takes as long as ten of ours
MASKED_CLIENTS = 64
BOUND = 0.1


@dataclass
class Cost:
    """Of one way to sum: bytes a parameter, and seconds for a million parameters, of each time it was done."""

    upload: float = 0.0
    download: float = 0.0
    error: float = 0.0  # largest, of the decoded sum against what was encoded
    protect: list[float] = field(default_factory=list)
    add: list[float] = field(default_factory=list)  # one update
    open: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        seconds = "".join(f"{median(times):9.4f}" for times in (self.protect, self.add, self.open))
        return f"{name:28}{self.upload:9.3f}{self.download:9.3f}{seconds}"


def bar(name: str, value: float, unit: str, limit: float) -> bool:
    met = value <= limit
    print(f"BAR {name} {value:.4g} {unit} <={limit:g} {'ok' if met else 'short'}", flush=True)
    return met


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Appends CPU seconds for a million parameters."""
    started = time.process_time()
    yield
    into.append((time.process_time() - started) / (PARAMETERS / 1e6))


@contextmanager
def quiet() -> Iterator[None]:
    """TenSEAL warns on standard output, from C++, of every vector longer than a ciphertext."""
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - its descriptor is what is wanted
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def draw_update(number: int, parameters: int = PARAMETERS) -> np.ndarray:
    """What a client sends: shape (parameters,) float32."""
    update = np.random.default_rng(number).standard_normal(parameters, dtype=np.float32)
    update *= np.float32(0.02)
    return update


def sitting_of(parameters: int) -> Sitting:
    return Sitting(run="01JBENCH", round=1, layout="ab" * 32, values=parameters)


class Ours:
    """One round after another under one preset, with all that a federation does to an update."""

    def __init__(self, cipher: Cipher, adder: Adder) -> None:
        self.cost = Cost()
        self._cipher, self._adder = cipher, adder
        self._sites = [Identity.generate(f"site-{i}") for i in range(CLIENTS)]
        self._coordinator = Identity.generate("coordinator")
        self._sitting = sitting_of(PARAMETERS)

    def turn(self, updates: list[np.ndarray]) -> None:
        cipher, sitting, rng = self._cipher, self._sitting, np.random.default_rng(0)
        quantizer = StochasticQuantizer(cipher.preset.levels, BOUND)
        members = {site.public.id: site.public for site in self._sites}
        total = Aggregator(self._adder, sitting, members=members, signer=self._coordinator)
        expected = np.zeros(PARAMETERS, np.int64)
        for site, update in zip(self._sites, updates, strict=False):
            with timed(self.cost.protect):
                symbols = quantizer.encode(update, rng)
                sent = protect(cipher, sitting, symbols, signer=site).to_bytes()
            with timed(self.cost.add):
                total.add(sent, sender=site.public.id)
            expected += symbols
            self.cost.upload = len(sent) / PARAMETERS
        result = total.finish().to_bytes()
        with timed(self.cost.open):
            opened = open_sum(cipher, sitting, result, coordinator=self._coordinator.public)
            quantizer.decode(opened.sums, len(opened.senders))
        self.cost.download = len(result) / PARAMETERS
        self.cost.error = max(self.cost.error, float(np.abs(opened.sums - expected).max()))


class Flare:
    """NVIDIA FLARE's HEModelEncryptor, HEInTimeAccumulateWeightedAggregator and HEModelDecryptor, one layer."""

    STEPS = 3  # a client's local iterations, by which it weighs

    def __init__(self) -> None:
        import tenseal

        self.cost = Cost()
        self._ts: Any = tenseal
        self._sites = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS,
            poly_modulus_degree=8192,
            coeff_mod_bit_sizes=[60, 40, 40],
            encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
        )
        self._sites.global_scale = 2**40
        self._server = tenseal.context_from(self._sites.serialize(save_secret_key=False, save_public_key=False))

    def turn(self, updates: list[np.ndarray]) -> None:
        total = None
        for update in updates:
            with timed(self.cost.protect):
                values = update.ravel() * np.float64(self.STEPS)
                sent = self._ts.ckks_vector(self._sites, values).serialize()
            with timed(self.cost.add):
                received = self._ts.ckks_vector_from(self._server, sent)
                total = received if total is None else total + received
            self.cost.upload = len(sent) / PARAMETERS
        result = (total * (1.0 / (self.STEPS * len(updates)))).serialize()
        with timed(self.cost.open):
            mean = self._ts.ckks_vector_from(self._sites, result).decrypt()
        self.cost.download = len(result) / PARAMETERS
        error = np.abs(np.asarray(mean) * len(updates) - sum(u.astype(np.float64) for u in updates)).max()
        self.cost.error = max(self.cost.error, float(error))


class InTheClear:
    """FedAvg without protection: float32 bytes."""

    def __init__(self) -> None:
        self.cost = Cost(upload=4.0, download=4.0)

    def turn(self, updates: list[np.ndarray]) -> None:
        total = np.zeros(PARAMETERS, np.float32)
        for update in updates:
            with timed(self.cost.protect):
                sent = update.tobytes()
            with timed(self.cost.add):
                total += np.frombuffer(sent, np.float32) * np.float32(1 / len(updates))
        with timed(self.cost.open):
            np.frombuffer(total.tobytes(), np.float32).copy()


def packed(key: SecretKey, preset: Preset) -> Ours:
    return Ours(PackedCipher(key, preset), PackedAdder(preset, key.key_id))


def approximate_ckks(preset: Preset) -> Ours:
    from nasturtium.privacy.approximate_ckks import ApproximateCkksAdder
    from nasturtium.privacy.approximate_ckks_secret import ApproximateCkksCipher, CkksSecretKey

    key = CkksSecretKey.generate()
    return Ours(ApproximateCkksCipher(key, preset), ApproximateCkksAdder(preset, key.key_id))


def resident_bytes(which: str) -> int:
    """Of this process: "VmRSS" now, "VmHWM" at most; unlike `getrusage`'s, without what its parent had."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(which)).split()[1])


def be_party(party: str, folder: Path, number: int) -> None:
    """One step at `LARGE` parameters; prints how much memory it took at most."""
    preset, sitting = smallest_preset(CLIENTS, 8), sitting_of(LARGE)
    sites = [Identity(f"site-{i}", (folder / f"site-{i}").read_bytes()) for i in range(3)]
    coordinator = Identity("coordinator", (folder / "coordinator").read_bytes())
    key = SecretKey.from_bytes((folder / "key").read_bytes())
    quantizer = StochasticQuantizer(preset.levels, BOUND)
    before = resident_bytes("VmRSS")
    if party == "site":
        update = draw_update(number, LARGE)
        symbols = quantizer.encode(update, np.random.default_rng(number))
        sent = protect(PackedCipher(key, preset), sitting, symbols, signer=sites[number]).to_bytes()
        (folder / f"update-{number}").write_bytes(sent)
    elif party == "coordinator":
        members = {site.public.id: site.public for site in sites}
        total = Aggregator(PackedAdder(preset, key.key_id), sitting, members=members, signer=coordinator)
        for i, site in enumerate(sites):
            total.add((folder / f"update-{i}").read_bytes(), sender=site.public.id)
        (folder / "sum").write_bytes(total.finish().to_bytes())
    else:
        cipher = PackedCipher(key, preset)
        opened = open_sum(cipher, sitting, (folder / "sum").read_bytes(), coordinator=coordinator.public)
        quantizer.decode(opened.sums, len(opened.senders))
    print(resident_bytes("VmHWM") - before)


def memory(folder: Path) -> dict[str, float]:
    """Peaks of the parties, as multiples of a plain float32 update."""
    (folder / "key").write_bytes(SecretKey.generate().to_bytes())
    for name in ("site-0", "site-1", "site-2", "coordinator"):
        (folder / name).write_bytes(Identity.generate(name).secret_bytes())

    def run(party: str, number: int = 0) -> float:
        command = [sys.executable, __file__, party, str(folder), str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout) / (4 * LARGE)

    site = max(run("site", number) for number in range(3))
    return {"site": site, "coordinator": run("coordinator"), "reader": run("reader")}


def changed_weights(folder: Path, scheme: str) -> float:
    """How many weights of a federated run on digits are not, bit for bit, those of the plain quantised run."""
    from nasturtium.core import ParameterLayout, load_model
    from nasturtium.federated import SimulationConfig, SimulationSetup, simulate
    from nasturtium.storage import open_database

    weights = {}
    for each in ("plain", scheme):
        config = SimulationConfig(data="digits", clients=4, rounds=3, epochs=1, scheme=each)
        with open_database(folder / f"{each}.db") as database:
            model = load_model(simulate(SimulationSetup.load(config), database).model).model
        weights[each] = ParameterLayout.of(model).flatten(model.state())
    return int((weights["plain"].view(np.uint32) != weights[scheme].view(np.uint32)).sum())


def main() -> int:
    updates = [draw_update(number) for number in range(CLIENTS)]
    key = SecretKey.generate()
    presets = {bits: smallest_preset(CLIENTS, bits) for bits in (4, 8, 16)}
    ours = {bits: packed(key, preset) for bits, preset in presets.items()}
    flare, clear, ckks = Flare(), InTheClear(), approximate_ckks(presets[8])
    for _ in range(TURNS):
        for each in ours.values():
            each.turn(updates)
        ckks.turn(updates[:PEER_CLIENTS])
        clear.turn(updates)
        with quiet():
            flare.turn(updates[:PEER_CLIENTS])

    print(f"{PARAMETERS:,} parameters, {CLIENTS} clients; bytes a parameter, CPU seconds for a million parameters")
    print(f"{'':28}{'up':>9}{'down':>9}{'protect':>9}{'add':>9}{'open':>9}")
    for bits, each in ours.items():
        print(each.cost.row(f"packed, {bits} bit"))
    print(ckks.cost.row("approximate CKKS, 8 bit"))
    print(flare.cost.row("NVIDIA FLARE's CKKS"))
    print(clear.cost.row("FedAvg in the clear"))
    print(f"largest error of FLARE's sum: {flare.cost.error:.1e}, of values of 0.02")
    best, peer = ours[8].cost, flare.cost
    print(
        f"packed, 8 bit, against FLARE: upload 1/{peer.upload / best.upload:.0f}, "
        f"download 1/{peer.download / best.download:.0f}, "
        + ", ".join(
            f"{name} 1/{median(getattr(peer, name)) / median(getattr(best, name)):.0f}"
            for name in ("protect", "add", "open")
        )
    )

    masks = privacy_masks.measure(PARAMETERS, MASKED_CLIENTS)
    print(
        f"masks among {MASKED_CLIENTS} clients, a fifth of which drops out: "
        f"a client {masks['client_protocol_s']:.3f} s for messages of {masks['client_sent_bytes'] / 1e3:.0f} kB up and "
        f"{masks['client_received_bytes'] / 1e3:.0f} kB down, {masks['client_mask_s_per_million']:.3f} s/M to expand; "
        f"the coordinator {masks['server_protocol_s']:.2f} s, {masks['server_unmask_s_per_million']:.3f} s/M"
    )

    met = [
        bar("upload_8_bit", best.upload, "B/param", 1.75),
        bar("download_8_bit", best.download, "B/param", 3.45),
        bar("protect_8_bit", median(best.protect), "s/M", 0.09),
        bar("add_8_bit", median(best.add), "s/M", 0.055),
        bar("open_8_bit", median(best.open), "s/M", 0.09),
        bar("error_of_sums", max(each.cost.error for each in (*ours.values(), ckks)), "levels", 0),
        bar("masks_that_stay_of_64_clients", masks["uncancelled"], "coefficients", 0),
        bar("upload_4_bit", ours[4].cost.upload, "B/param", 1.05),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for party, multiple in memory(Path(folder)).items():
            met.append(bar(f"memory_{party}", multiple, "of_float32", 3))
    for scheme in ("packed", "ckks-approximate"):
        with tempfile.TemporaryDirectory() as folder:
            met.append(bar(f"changed_by_{scheme}", changed_weights(Path(folder), scheme), "weights", 0))
    return 0 if all(met) else 1


if __name__ == "__main__":
    if sys.argv[1:]:
        be_party(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
