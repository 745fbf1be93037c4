"""`Target`: what the writer of a kernel must know of a CPU."""

from __future__ import annotations

from dataclasses import dataclass

WIDTHS = (4, 8, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A CPU. Kernels are written for its vectors and run wherever its features are; any width is right on any CPU.

    Attributes:
        name: the CPU as LLVM names it, such as "znver5" or "apple-m1".
        triple: machine and system, as in "x86_64-unknown-linux-gnu".
        features: LLVM's list, "+avx2,-avx512f,...".
        width: float32 lanes of the vectors that kernels should use: 4, 8 or 16.
        registers: vector registers of that width: accumulators, operands and temporaries together.
        fma: `llvm.fma` is one instruction; where it is not, it would be a call, and `llvm.fmuladd` is the right choice.
    """

    name: str
    triple: str
    features: str
    width: int
    registers: int
    fma: bool

    def __post_init__(self) -> None:
        assert self.width in WIDTHS, f"no kernels for vectors of {self.width} floats"

    @property
    def fused(self) -> str:
        """The intrinsic for a * b + c, without its type suffix: `llvm.fma` or `llvm.fmuladd`."""
        return "llvm.fma" if self.fma else "llvm.fmuladd"


def describe_target(name: str, triple: str, features: str, *, width: int | None = None) -> Target:
    """The target that follows from what LLVM says of a CPU.

    Args:
        name: of the CPU.
        triple: machine and system.
        features: comma-separated, each with "+" or "-".
        width: other vectors than the widest: 4, 8 or 16; wider ones than the CPU has are split by LLVM.
    """
    has = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    x86 = triple.startswith(("x86_64", "i386", "i686"))
    if not x86:  # NEON, and what LLVM makes of vectors elsewhere
        return Target(
            name=name,
            triple=triple,
            features=features,
            width=width or 4,
            registers=32,
            fma="aarch64" in triple or "arm64" in triple,
        )
    widest = 16 if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= has else 8 if {"avx2", "fma"} <= has else 4
    if widest == 16 and "prefer-256-bit" not in features:
        features += ",-prefer-256-bit"  # else LLVM would split our vectors on CPUs it holds to be slow with them
    return Target(
        name=name,
        triple=triple,
        features=features,
        width=width or widest,
        registers=32 if widest == 16 else 16,
        fma="fma" in has,
    )
