"""A start without PyTorch's compiler: it stays out while nothing asks for it, and is there as soon as something does."""

import subprocess
import sys

SCRIPT = """
import sys
from trainwright.shims import leave_the_compiler_out
leave_the_compiler_out()
import torch
weight = torch.nn.Parameter(torch.ones(2))
adam = torch.optim.Adam([weight], lr=0.5)
def step():
    adam.zero_grad()
    weight.sum().backward()
    adam.step()
    return "torch._dynamo.symbolic_convert" in sys.modules
assert not step()
twice = torch.compile(lambda x: 2 * x, backend="eager")
assert twice(torch.ones(2)).tolist() == [2.0, 2.0]
assert step()
import torch._dynamo.config
print(torch._dynamo.__file__.endswith("__init__.py"), weight.tolist())
"""


def test_the_compiler_stays_out_until_something_is_compiled() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split()[0] == "True"


def test_the_command_line_starts_without_slow_imports() -> None:
    code = "import sys, trainwright.cli; print(*{'torch', 'scipy', 'torchmetrics', 'tabulate'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
