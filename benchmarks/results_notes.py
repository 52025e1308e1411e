"""What has to be said of the figures in docs/results.md, by hand."""

INTRODUCTION = """\
# The papers' tables, beside what came out here

Each section is one recipe: an experiment of a paper as data, run by one command.
`maskdef recipes` lists them, `maskdef recipes NAME` says what one trains and what
`--scale cpu` cuts; `--scale paper` is the paper's setting, as far as the paper gives
it. This page is written by `python benchmarks/results_page.py` from the runs in
`benchmarks/results/recipes`.

How to read the tables:

- *paper / here* in one cell: the paper's figure, then ours with its 95 % interval over
  images (Wilson). Each network was trained once; the intervals say nothing of another
  training.
- A paper's size of a perturbation means little on another network. Where it matters the
  row is there twice, the second time *matched*: in the size at which the bare
  classifier, attacked, is as accurate as the paper's.
- Attacks of a paper's table do not know the defence, or not all of it. The **adaptive**
  row does: PGD on the whole defence, averaged over masks in each step. The last row
  counts an image only if it withstands all rows above it. **Those two are the ones to
  quote**, and where they are low the defence does not protect against who knows
  it.
- CIFAR-10 is the official one but for 111 of its 60,000 images, which are recompressed.
- Methods of the papers' tables that are *not built* here: image quilting, PixelDefend,
  PCL, denoised smoothing, completion of high-sensitivity points.
"""

NOTES: dict[str, str] = {
    "mad/mnist-lenet": """\
**What disagrees.** In the paper's sizes hardly anything happens to a LeNet on images in
[0, 1], but for CW and DeepFool: PGD in Linf 0.015 leaves what the paper's leaves at 0.1
here. We think that the paper's images had another scale; it does not say. At matched
strength both votes keep more than the paper reports, but for the paper's vote under CW.
The 40 points are missed under FGSM, in all six rows, as in the paper's own table.

**What limits it.** In L2 and Linf 20 masks a step made the adaptive attack stronger
still than five, and 50 were not run; with its masks frozen, PGD leaves 5 to 10 %
right where nothing should be left. A stronger attacker will find less than the last
row. Under the adaptive attack in L2 our vote is no better than the paper's. CW and
DeepFool make perturbations so small that they survive no mask; those rows say
little of a defence. One trained network; another, trained alike, gave 22.1 and 27.4
in the last row.""",
}
