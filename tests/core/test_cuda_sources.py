"""CUDA kernels without a GPU: every source compiles, runs on the CPU as C++, and is launched on the stand-in."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from nasturtium.core import ConfigError, DeviceError, DTypeError, FormatError, MissingExtraError, ShapeError, device
from nasturtium.core.cuda import (
    KERNELS,
    CudaCompileError,
    CudaKernel,
    compile_cubin,
    kernel_at,
    load_kernel,
    parse_parameters,
)

from .host_cuda import HostKernel, guarded
from .strict_cupy import StrictDriverError

SCALE_SOURCE = """
// Every `x` times `factor`; extern "C" __global__ void scale(wrong);
extern "C" __global__ void __launch_bounds__(256) scale(const T* __restrict__ x, T* y, T factor, long long n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
        y[i] = x[i] * factor;
}
"""
SCALE_PARAMETERS = "const float* x, float* y, float factor, long long n"


def scale_reference(x, y, factor, n):
    y.reshape(-1)[:n] = x.reshape(-1)[:n] * factor


def make_scale(dtype: str = "float32") -> CudaKernel:
    return CudaKernel(SCALE_SOURCE, "scale", reference=scale_reference, types={"T": dtype})


def compiled(compile_it):
    """The result of a compilation; skips where NVRTC is not installed."""
    try:
        return compile_it()
    except MissingExtraError as exc:
        pytest.skip(f"{exc}")


# Sources compile.


@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_of_the_library_compiles(name, arch):
    cubin = compiled(lambda: KERNELS[name].compile(arch))
    assert cubin[:4] == b"\x7fELF"
    assert KERNELS[name].function.encode() in cubin


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8"])
def test_one_source_is_a_kernel_for_each_dtype(dtype):
    kernel = make_scale(dtype)
    assert kernel.name == f"scale<{dtype}>"
    assert [parameter.dtype for parameter in kernel.parameters] == [dtype, dtype, dtype, "int64"]


def test_a_bfloat16_by_value_is_refused():
    with pytest.raises(ConfigError, match="cannot read the CUDA parameter 'T factor'"):
        make_scale("bfloat16")


@pytest.mark.parametrize(("dtype", "header"), [("float16", "cuda_fp16.h"), ("bfloat16", "cuda_bf16.h")])
def test_half_precision_brings_its_header(dtype, header):
    kernel = CudaKernel(
        'extern "C" __global__ void copy(const T* x, T* y) { y[0] = x[0]; }',
        "copy",
        reference=lambda x, y: None,
        types={"T": dtype},
    )
    pathfinder = pytest.importorskip("cuda.pathfinder", reason="NVRTC is not installed (extra: nvrtc)")
    if pathfinder.find_nvidia_header_directory("cudart") is None:
        pytest.skip(f"no CUDA toolkit with {header}")
    assert compiled(kernel.compile)[:4] == b"\x7fELF"


def test_a_source_that_does_not_compile_shows_the_first_error():
    kernel = CudaKernel(
        'extern "C" __global__ void broken(float* x) {\n  x[0] = not_there;\n}', "broken", reference=lambda x: None
    )
    with pytest.raises(CudaCompileError, match=r"'broken' does not compile for sm_90: .*not_there") as caught:
        compiled(kernel.compile)
    assert "broken.cu(2)" in caught.value.log


@pytest.mark.parametrize("arch", ["sm_10", "sm90", "compute_90", "sm_90; rm", ""])
def test_an_unknown_architecture_is_refused_with_those_there_are(arch):
    with pytest.raises(ConfigError, match="unknown GPU architecture: expected one of sm_75"):
        compiled(lambda: compile_cubin("", arch=arch))


def test_without_nvrtc_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)
    with pytest.raises(MissingExtraError, match=r'pip install "nasturtium\[nvrtc\]"'):
        compile_cubin("")


# Sources run, as C++ on the CPU.


@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 1000])
@pytest.mark.parametrize("name", [name for name in KERNELS if name.startswith("philox")])
def test_the_source_of_a_random_kernel_gives_the_bits_of_its_reference(name, count, host_kernels):
    kernel = KERNELS[name]
    key = (0x0123456789ABCDEF, 2**64 - 3)
    dtype = kernel.parameters[-2].dtype
    extra = (40_000,) if kernel.function == "philox_below" else ()
    (got, whole), expected = guarded(count, dtype), np.empty(count, dtype)
    untouched = whole.copy()
    host_kernels(kernel)(2, 3, *key, *extra, got, count)  # fewer threads than blocks of words: the loop strides
    kernel.reference(*key, *extra, expected, count)
    np.testing.assert_array_equal(got, expected)
    outside = np.ones(whole.size, bool)
    outside[64:-64] = False
    np.testing.assert_array_equal(whole[outside], untouched[outside])


@pytest.fixture(scope="module")
def host_kernels(tmp_path_factory):
    """Kernels compiled for the CPU, each once."""
    made: dict[str, HostKernel] = {}

    def make(kernel: CudaKernel) -> HostKernel:
        if kernel.name not in made:
            made[kernel.name] = HostKernel(kernel, tmp_path_factory.mktemp("kernel"))
        return made[kernel.name]

    return make


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_a_kernel_agrees_with_its_reference(dtype, tmp_path):
    x = np.arange(1, 100).astype(dtype)
    kernel = make_scale(dtype)
    got, expected = np.zeros_like(x), np.zeros_like(x)
    factor = np.dtype(dtype).type(2)
    HostKernel(kernel, tmp_path)(3, 5, x, got, factor, x.size)
    scale_reference(x, expected, factor, x.size)
    np.testing.assert_array_equal(got, expected)


# Parameters are read from the source.


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        pytest.param("", [], id="none"),
        pytest.param("float *x", ["float* x"], id="star-at-the-name"),
        pytest.param("const float* __restrict__ x, int n", ["float* x", "int n"], id="qualifiers"),
        pytest.param("float const * const x", ["float* x"], id="const-behind"),
        pytest.param(
            "unsigned long long key, unsigned* out", ["unsigned long long key", "unsigned int* out"], id="words"
        ),
        pytest.param(
            "int64_t n, uint8_t* mask, size_t m",
            ["long long n", "unsigned char* mask", "unsigned long long m"],
            id="stdint",
        ),
        pytest.param("const __half* x, __nv_bfloat16* y", ["__half* x", "__nv_bfloat16* y"], id="half-precision"),
        pytest.param("bool flag,\n    double* y\n", ["bool flag", "double* y"], id="lines"),
    ],
)
def test_parameters_are_read(declaration, expected):
    assert [str(parameter) for parameter in parse_parameters(declaration)] == expected


@pytest.mark.parametrize(
    "declaration",
    ["long n", "float** x", "Matrix m", "float", "float x[4]", "float& x", "T* x", "const char* const* s"],
)
def test_parameters_that_cannot_be_read_are_refused(declaration):
    with pytest.raises(ConfigError, match="cannot read the CUDA parameter"):
        parse_parameters(declaration)


@pytest.mark.parametrize(
    "source",
    ["", "__global__ void f(float* x) {}", 'extern "C" void f(float* x) {}', '// extern "C" __global__ void f() {}'],
    ids=["empty", "mangled", "not-a-kernel", "a-comment"],
)
def test_a_source_without_the_function_is_refused(source):
    with pytest.raises(ConfigError, match="declares no kernel 'f'"):
        CudaKernel(source, "f", reference=lambda: None)


def test_an_unknown_dtype_for_a_type_name_is_refused():
    with pytest.raises(ConfigError, match="T is 'complex64': expected one of bool"):
        make_scale("complex64")


# Launches, on the stand-in.


@pytest.mark.parametrize("index", [0, 1])
def test_a_launch_runs_on_the_device_of_its_arrays(strict_cupy, index):
    place = device(f"cuda:{index}")
    x = place.put(np.arange(1000, dtype=np.float32))
    y = place.put(np.zeros(1000, np.float32))
    make = make_scale()
    strict_cupy.register(make)
    make.over(x.size, x, y, 2.0, x.size)
    np.testing.assert_array_equal(y.get(), np.arange(1000) * 2)
    (launch,) = strict_cupy.launches
    assert (launch.name, launch.grid, launch.block, launch.device) == ("scale", (4, 1, 1), (256, 1, 1), index)


def test_the_binary_is_made_once(strict_cupy, monkeypatch):
    kernel = make_scale()
    strict_cupy.register(kernel)
    made = []
    raw_kernel = strict_cupy.RawKernel
    monkeypatch.setitem(strict_cupy.__dict__, "RawKernel", lambda *args: made.append(args) or raw_kernel(*args))
    x = strict_cupy.ones(3, dtype="float32")
    for _ in range(3):
        kernel.over(3, x, strict_cupy.empty_like(x), 2.0, 3)
    assert len(made) == 1
    assert made[0] == (kernel.source, "scale", ())


def test_no_threads_launch_nothing_but_are_checked(strict_cupy):
    kernel = make_scale()
    empty = strict_cupy.empty(0, dtype="float32")
    kernel.over(0, empty, empty, 2.0, 0)
    assert strict_cupy.launches == []
    with pytest.raises(DTypeError):
        kernel.over(0, empty, empty, 2, 0.5)
    with pytest.raises(ConfigError, match="expected threads >= 0, got -1"):
        kernel.over(-1, empty, empty, 2.0, 0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param(lambda xp, a: a[:3], ConfigError, r"takes 4 arguments \(float\* x, .*got 3", id="too-few"),
        pytest.param(
            lambda xp, a: [a[0].astype("float64"), *a[1:]],
            DTypeError,
            "x points to float32, got an array of float64",
            id="array-dtype",
        ),
        pytest.param(
            lambda xp, a: [np.ones(4, np.float32), *a[1:]], DeviceError, "x lives on the CPU", id="host-array"
        ),
        pytest.param(
            lambda xp, a: [[1.0], *a[1:]], DTypeError, "expected a NumPy or CuPy array, got builtins.list", id="list"
        ),
        pytest.param(
            lambda xp, a: [xp.ones((4, 4), dtype="float32").T[::2], *a[1:]],
            ShapeError,
            "x is not contiguous: shape .*strides",
            id="strided",
        ),
        pytest.param(lambda xp, a: [*a[:2], "2", a[3]], DTypeError, "factor is float32, got '2'", id="text"),
        pytest.param(lambda xp, a: [*a[:3], 4.0], DTypeError, "n is int64, got 4.0 of type float", id="float-for-int"),
        pytest.param(lambda xp, a: [*a[:3], True], DTypeError, "n is int64, got True", id="bool-for-int"),
        pytest.param(lambda xp, a: [*a[:3], 2**63], ConfigError, "n is int64, which cannot hold", id="too-large"),
        pytest.param(lambda xp, a: [*a[:3], np.int32(4)], DTypeError, "n is int64, got int32", id="narrow-scalar"),
        pytest.param(lambda xp, a: [None, None, *a[2:]], ConfigError, "expected an array among", id="no-array"),
    ],
)
def test_wrong_arguments_never_reach_the_device(strict_cupy, change, error, message):
    kernel = make_scale()
    strict_cupy.register(kernel)
    x = strict_cupy.ones(4, dtype="float32")
    with pytest.raises(error, match=message):
        kernel.launch(1, 32, *change(strict_cupy, [x, strict_cupy.empty_like(x), 2.0, 4]))
    assert strict_cupy.launches == []


def test_arrays_of_two_devices_are_refused(strict_cupy):
    x, y = (device(name).put(np.ones(4, np.float32)) for name in ("cuda:0", "cuda:1"))
    with pytest.raises(DeviceError, match="x on cuda:0, y on cuda:1"):
        make_scale().launch(1, 32, x, y, 2.0, 4)


def test_a_null_pointer_is_passed_on(strict_cupy):
    seen = []
    kernel = CudaKernel(
        'extern "C" __global__ void f(const float* bias, float* y) {}', "f", reference=lambda *args: seen.append(args)
    )
    strict_cupy.register(kernel)
    kernel.launch(1, 1, None, strict_cupy.ones(1, dtype="float32"))
    assert seen[0][0] is None


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        (0, 32, "expected a grid from 1"),
        (1, 0, "expected a block from 1"),
        ((1, 65536), 32, "expected a grid from 1"),
        (2**31, 32, "expected a grid from 1"),
        (1, 1025, "expected a block from 1"),
        (1, (32, 33), "at most 1024 threads, got .*1056 threads"),
        (1, (1, 1, 65), "expected a block from 1"),
        ((1, 1, 1, 1), 32, "expected a grid from 1"),
    ],
)
def test_a_geometry_no_gpu_has_is_refused(strict_cupy, grid, block, message):
    kernel = make_scale()
    strict_cupy.register(kernel)
    x = strict_cupy.ones(4, dtype="float32")
    with pytest.raises(ConfigError, match=message):
        kernel.launch(grid, block, x, x, 2.0, 4)
    with pytest.raises(ConfigError, match="expected shared_bytes >= 0"):
        kernel.launch(1, 32, x, x, 2.0, 4, shared_bytes=-1)


# The driver level: code that somebody else compiled.


@pytest.fixture
def cubin():
    source = SCALE_SOURCE.replace("T*", "float*").replace("T factor", "float factor")
    source = source.replace("const T", "const float")
    return compiled(lambda: compile_cubin(source, name="scale"))


def test_a_cubin_is_loaded_on_each_device_once(strict_cupy, cubin):
    kernel = load_kernel(cubin, "scale", SCALE_PARAMETERS)
    strict_cupy.references[cubin, "scale", ()] = scale_reference
    for name in ("cuda:0", "cuda:1", "cuda:0"):
        x = device(name).put(np.ones(5, np.float32))
        y = device(name).put(np.zeros(5, np.float32))
        kernel.launch(1, 32, x, y, 3.0, 5, shared_bytes=16)
        np.testing.assert_array_equal(y.get(), np.full(5, 3))
    assert [launch.device for launch in strict_cupy.launches] == [0, 1, 0]
    assert {launch.shared_mem for launch in strict_cupy.launches} == {16}
    assert len(kernel._loaded) == 2


def test_a_function_that_is_not_in_the_binary_is_an_error_of_ours(strict_cupy, cubin):
    kernel = load_kernel(cubin, "scael", SCALE_PARAMETERS)
    x = strict_cupy.ones(5, dtype="float32")
    with pytest.raises(DeviceError, match=r"scael cannot be loaded on cuda:0: CUDA_ERROR_NOT_FOUND.*hint: compile it"):
        kernel.launch(1, 32, x, x, 3.0, 5)


@pytest.mark.parametrize("data", [b"", b"\x7fEL", b"// PTX", b"PK\x03\x04"])
def test_a_file_that_is_no_cubin_is_refused(data):
    with pytest.raises(FormatError, match="not a cubin or fat binary"):
        load_kernel(data, "scale", SCALE_PARAMETERS)


def test_arguments_of_a_driver_kernel_are_checked(strict_cupy, cubin):
    kernel = load_kernel(cubin, "scale", SCALE_PARAMETERS)
    x = strict_cupy.ones(5, dtype="float32")
    with pytest.raises(DTypeError, match="scale: y points to float32, got an array of int64"):
        kernel.launch(1, 32, x, strict_cupy.arange(5), 3.0, 5)
    assert repr(kernel) == "DriverKernel(scale: float* x, float* y, float factor, long long n)"


def test_a_function_pointer_is_launched_with_the_addresses_of_its_arguments(strict_cupy):
    """What CUDA reads: for each parameter the address of its bytes; a pointer's bytes are an address on the device."""
    seen = {}

    def function(params: int) -> None:
        addresses = (ctypes.c_void_p * 4).from_address(params)
        n = ctypes.c_longlong.from_address(addresses[3]).value
        x, y = (
            np.ctypeslib.as_array(
                ctypes.cast(ctypes.c_void_p.from_address(address).value, ctypes.POINTER(ctypes.c_float)), (n,)
            )
            for address in addresses[:2]
        )
        y[:] = x * ctypes.c_float.from_address(addresses[2]).value
        seen["n"] = n

    strict_cupy.functions[0xC0FFEE] = function
    place = device("cuda:1")
    kernel = kernel_at(0xC0FFEE, SCALE_PARAMETERS, device=place, name="scale")
    x, y = place.put(np.arange(6, dtype=np.float32)), place.put(np.zeros(6, np.float32))
    kernel.launch((2, 1), 32, x, y, 2.5, 6)
    np.testing.assert_array_equal(y.get(), np.arange(6) * 2.5)
    assert seen == {"n": 6}
    assert (strict_cupy.launches[0].grid, strict_cupy.launches[0].device) == ((2, 1, 1), 1)


def test_a_null_pointer_among_the_arguments_of_a_pointer_is_null(strict_cupy):
    def function(params: int) -> None:
        addresses = (ctypes.c_void_p * 2).from_address(params)
        assert ctypes.c_void_p.from_address(addresses[0]).value is None

    strict_cupy.functions[1] = function
    kernel_at(1, "const float* bias, float* y", device=device("cuda:0")).launch(
        1, 1, None, strict_cupy.ones(1, dtype="float32")
    )
    assert len(strict_cupy.launches) == 1


def test_a_function_pointer_belongs_to_one_device(strict_cupy):
    kernel = kernel_at(1, "float* x", device=device("cuda:0"), name="f")
    with pytest.raises(DeviceError, match="f is a function on cuda:0, its arguments live on cuda:1"):
        kernel.launch(1, 1, device("cuda:1").put(np.ones(1, np.float32)))


@pytest.mark.parametrize(("pointer", "place"), [(0, "cuda:0"), (-1, "cuda:0"), (1, "cpu")])
def test_a_pointer_that_cannot_be_one_is_refused(strict_cupy, pointer, place):
    with pytest.raises(ConfigError, match="expected"):
        kernel_at(pointer, "float* x", device=device(place))


def test_the_stand_in_refuses_an_image_the_driver_would_refuse(strict_cupy):
    module = strict_cupy.cuda.Module()
    with pytest.raises(StrictDriverError, match="INVALID_IMAGE"):
        module.load(b"not a cubin")


# On a real GPU.


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 7, 8, 1_000_003])
@pytest.mark.parametrize("name", [name for name in KERNELS if name.startswith("philox")])
def test_a_random_kernel_gives_the_bits_of_its_reference_on_a_gpu(gpu, name, count):
    kernel, cupy = KERNELS[name], gpu.xp
    extra = (40_000,) if kernel.function == "philox_below" else ()
    with gpu.active():
        out = cupy.empty(count, kernel.parameters[-2].dtype)
    kernel.over(-(-count // 4), 5, 2**64 - 3, *extra, out, count)
    expected = np.empty(count, out.dtype)
    kernel.reference(5, 2**64 - 3, *extra, expected, count)
    np.testing.assert_array_equal(out.get(), expected)


@pytest.mark.gpu
def test_all_three_ways_to_launch_agree_on_a_gpu(gpu):
    cupy, kernel = gpu.xp, make_scale()
    x = gpu.put(np.arange(1000, dtype=np.float32))
    arch = f"sm_{cupy.cuda.Device(gpu.index).compute_capability}"
    cubin = compiled(lambda: kernel.compile(arch))
    loaded = load_kernel(cubin, "scale", SCALE_PARAMETERS)
    with gpu.active():
        module = cupy.cuda.Module()
        module.load(cubin)
        handle = module.get_function("scale").ptr
        ways = [kernel.launch, loaded.launch, kernel_at(handle, SCALE_PARAMETERS, device=gpu).launch]
        for launch in ways:
            y = cupy.zeros_like(x)
            launch(4, 256, x, y, 2.0, x.size)
            np.testing.assert_array_equal(y.get(), np.arange(1000) * 2)


@pytest.mark.gpu
def test_a_cubin_of_another_architecture_is_an_error_of_ours_on_a_gpu(gpu):
    number = int(gpu.xp.cuda.Device(gpu.index).compute_capability)
    other = "sm_75" if number >= 80 else "sm_90"
    kernel = load_kernel(compiled(lambda: make_scale().compile(other)), "scale", SCALE_PARAMETERS)
    x = gpu.put(np.ones(4, np.float32))
    with pytest.raises(DeviceError, match="cannot be loaded"):
        kernel.launch(1, 32, x, x, 2.0, 4)


def test_the_doors_to_a_compiler_stay_shut_at_import():
    """Importing the kernels loads neither CuPy nor NVRTC."""
    code = (
        "import sys, nasturtium.core.cuda; print([name for name in sys.modules if name.startswith(('cupy', 'cuda'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
