"""Every CUDA kernel compiled for five architectures and assembled, with no GPU.

What the assembler says of registers and spills, and the width of the memory accesses in
the PTX, are properties the source cannot show.
"""

import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest

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


def compile_to_ptx(cuda: Any, name: str, dtype: str, sizes: tuple[int, ...]) -> Any:
    """Yields the PTX of a kernel for each architecture.

    Numba's part of the work does not depend on the architecture and takes ten times as
    long as the rest. `numba.cuda.compile` would repeat it for each.
    """
    from numba import types
    from numba.cuda.compiler import _compile_pyfunc_with_fixup

    def array(item: str) -> Any:
        return types.Array(getattr(types, item), 1, "C")

    bits, number = array(str(cuda.BITS[dtype])), types.int32
    signature = {
        "grid_mask": (bits, array("uint8"), bits, bits, *[number] * 5, types.boolean),
        "bit_depth": (
            *(array(dtype), array(dtype)),
            *(types.float32 if dtype == "float32" else number, types.boolean),
        ),
        "median": (bits, bits, *[number] * 6, types.boolean),
    }[name]
    kernel = getattr(cuda, f"{name}_kernel")(dtype, *sizes)
    library, _ = _compile_pyfunc_with_fixup(
        kernel.py_func,
        types.void(*signature),
        device=False,
        abi="numba",
        cc=ARCHITECTURES[0],
        **cuda.LAUNCH_BOUNDS,
    )
    for architecture in ARCHITECTURES:
        yield architecture, "\n".join(library.get_asm_strs(cc=architecture))


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
    for (major, minor), ptx in compile_to_ptx(cuda, name, dtype, sizes):
        architecture = f"sm_{major}{minor}"
        assert f".target {architecture}" in ptx
        accesses = set(re.findall(r"\b(?:ld|st)\.(?:global|shared|local)\S*", ptx))
        assert not {access for access in accesses if ".local" in access}
        wide = {
            access[:-4] for access in accesses if re.search(r"v4\.[bfu]32$", access)
        }
        target = "shared" if name == "median" else "global"
        assert wide == {"ld.global.v4", f"st.{target}.v4"}

        source = tmp_path / f"{architecture}.ptx"
        source.write_text(ptx)
        command = [ptxas, "-v", f"-arch={architecture}", str(source)]
        said = subprocess.run(
            [*command, "-o", str(source.with_suffix(".cubin"))],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        assert "0 bytes spill stores, 0 bytes spill loads" in said
        assert "0 bytes stack frame" in said
        registers = re.search(r"Used (\d+) registers", said)
        assert registers is not None and int(registers[1]) <= 64, said
