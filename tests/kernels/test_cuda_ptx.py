"""Every CUDA kernel compiled for five architectures and assembled, with no GPU.

What the assembler says of registers and spills, and the width of the memory accesses in
the PTX, are properties the source cannot show.
"""

import itertools
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cuda import GAPS

ARCHITECTURES = [(7, 5), (8, 0), (9, 0), (10, 0), (12, 0)]
DTYPES = ["float32", "uint8"]
KERNELS = [
    ("grid_mask", ()),
    ("bit_depth", ()),
    *(("median", (k,)) for k in range(2, 8)),
]


@pytest.fixture(scope="module")
def cuda() -> Any:
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    from keras_maskdef.kernels import cuda

    if cuda.SIMULATED:
        pytest.skip("the simulator does not compile")
    return cuda


@pytest.fixture(scope="module")
def ptxas() -> str:
    try:
        packaged = [str(f.locate()) for f in files("nvidia-cuda-nvcc") or []]
    except PackageNotFoundError:
        packaged = []
    found = [path for path in packaged if Path(path).name in ("ptxas", "ptxas.exe")]
    assembler = found[0] if found else shutil.which("ptxas")
    if assembler is None:
        pytest.skip("ptxas is not here: install nvidia-cuda-nvcc")
    return assembler


def array(item: str, axes: int = 1, layout: str = "C") -> Any:
    from numba import types

    return types.Array(getattr(types, item), axes, layout)


def compile_to_ptx(cuda: Any, kernel: Any, *arguments: Any) -> Any:
    """Yields the PTX of a kernel for each architecture.

    Numba's part of the work does not depend on the architecture and takes ten times as
    long as the rest. `numba.cuda.compile` would repeat it for each.
    """
    from numba import types
    from numba.cuda.compiler import _compile_pyfunc_with_fixup

    library, _ = _compile_pyfunc_with_fixup(
        kernel.py_func,
        types.void(*arguments),
        device=False,
        abi="numba",
        cc=ARCHITECTURES[0],
        **cuda.LAUNCH_BOUNDS,
    )
    for architecture in ARCHITECTURES:
        yield (
            f"sm_{''.join(map(str, architecture))}",
            "\n".join(library.get_asm_strs(cc=architecture)),
        )


def registers(ptxas: str, architecture: str, ptx: str, folder: Path) -> int:
    """Assembles, asserts that nothing spills, and returns the registers of a thread."""
    assert f".target {architecture}" in ptx
    assert ".local" not in ptx
    source = folder / f"{architecture}.ptx"
    source.write_text(ptx)
    target = source.with_suffix(".cubin")
    command = [ptxas, "-v", f"-arch={architecture}", str(source), "-o", str(target)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in said
    used = re.search(r"Used (\d+) registers", said)
    assert used is not None, said
    return int(used[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, sizes", KERNELS)
def test_registers_spills_and_widths(
    cuda: Any,
    ptxas: str,
    tmp_path: Path,
    name: str,
    sizes: tuple[int, ...],
    dtype: str,
) -> None:
    from numba import types

    items, bits = array(dtype), array(str(cuda.BITS[dtype]))
    number, truth = types.int32, types.boolean
    level = types.float32 if dtype == "float32" else number
    arguments = {
        "grid_mask": (bits, array("uint8"), bits, bits, *[number] * 5, truth),
        "bit_depth": (items, items, level, truth),
        "median": (bits, bits, *[number] * 6, truth),
    }[name]
    kernel = getattr(cuda, f"{name}_kernel")(dtype, *sizes)
    written = "shared" if name == "median" else "global"
    for architecture, ptx in compile_to_ptx(cuda, kernel, *arguments):
        wide = set(re.findall(r"\b((?:ld|st)\.\w+\.v4)\.[bfu]32\b", ptx))
        assert wide == {"ld.global.v4", f"st.{written}.v4"}
        assert registers(ptxas, architecture, ptx, tmp_path) <= 64


@pytest.mark.parametrize("dtype", [*DTYPES, "boolean"])
def test_the_copy_of_arrays_with_gaps(
    cuda: Any, ptxas: str, tmp_path: Path, dtype: str
) -> None:
    arrays = array(dtype, 5, "A"), array(dtype, 5)
    for architecture, ptx in compile_to_ptx(cuda, cuda.copy_kernel, *arrays):
        assert registers(ptxas, architecture, ptx, tmp_path) <= 64


@pytest.mark.parametrize(("shape", "index"), GAPS)
def test_arrays_on_a_device_take_the_indices_of_the_tests(
    cuda: Any, shape: tuple[int, ...], index: Any
) -> None:
    """Their bookkeeping needs no device, and takes less than the simulator's."""
    from numba.cuda.cudadrv.dummyarray import Array

    host = np.empty(shape, "uint8")
    taken = Array.from_desc(0, shape, host.strides, 1)[index]
    assert (taken.shape, taken.strides) == (host[index].shape, host[index].strides)
    assert not taken.is_c_contig


def test_small_grids_are_no_reason_to_warn(cuda: Any) -> None:
    # Warnings are errors in these tests; numba's own setting is left as it was.
    cuda.configured(cuda.bit_depth_kernel("float32"), 1)
    with pytest.warns(match="Grid size 2"):
        cuda.bit_depth_kernel("float32")[2, cuda.THREADS]


def test_every_image_finds_a_tile(cuda: Any) -> None:
    for size, channels, dtype in itertools.product(range(2, 8), range(1, 9), DTYPES):
        for width in [*range(size, 70), 224, 1000]:
            row = width * channels
            columns, pitch, rows = cuda.median_tile(size, row, channels, size, dtype)
            assert 1 <= columns <= cuda.THREADS and rows >= 1
            assert (pitch - columns) // 2 >= size // 2 * channels
            tile = (cuda.THREADS // columns * rows + size - 1) * pitch
            keys = size * size * cuda.THREADS + tile
            assert keys * cuda.BITS[dtype].itemsize <= cuda.SHARED_BYTES
