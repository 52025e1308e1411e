"""One of two processes of PyTorch's DistributedDataParallel; run by its own test."""

import keras
import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

import keras_maskdef as kmd
from keras_maskdef.backend.seed_generators import SharedSeedGenerator

X = np.random.default_rng(0).random((8, 12, 12, 1)).astype("float32")
Y = torch.arange(8) % 3


def gathered(value):
    values = [torch.empty_like(value) for _ in range(2)]
    distributed.all_gather(values, value.contiguous())
    return values


distributed.init_process_group("gloo")
rank = distributed.get_rank()
keras.utils.set_random_seed(rank)
mask = kmd.RandomGridMask(2, 0.5)
layers = [keras.Input((12, 12, 1)), mask, keras.layers.Flatten(), keras.layers.Dense(3)]
model = keras.Sequential(layers)
wrapped = DistributedDataParallel(model)

# It gives all processes the first one's state: without more, the masks would be alike.
first, second = gathered(mask.seed_generator.state.value)
assert torch.equal(first, second), (first, second)
keep = mask.sample(X, views=2)
alone = SharedSeedGenerator(0)
alone.state.assign(first)
if rank == 0:
    expected = mask.sample(X, views=2, seed=alone)
    assert torch.equal(keep, expected)
first, second = gathered(keep.to(torch.int32))
assert (first != second).flatten(2).any(-1).all()

optimizer = torch.optim.SGD(model.parameters(), 0.1)
half = slice(4 * rank, 4 * rank + 4)
loss = torch.nn.functional.cross_entropy(wrapped(X[half]), Y[half])
loss.backward()
optimizer.step()
kernel = model.layers[-1].kernel.value.detach()
first, second = gathered(kernel)
assert torch.equal(first, second)
distributed.destroy_process_group()
